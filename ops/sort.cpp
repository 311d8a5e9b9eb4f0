#include "ops/sort.h"

#include "ops/checks.h"

namespace tessera::ops {

SortResult sort(const Tensor& x, bool descending) {
  check_input("sort", x, is_compute_float);
  TESSERA_CHECK(x.rank() >= 1, "sort: x must be [..., K], got {}", x.shape());
  SortResult result{empty_like(x), Tensor::empty(x.shape(), DType::kI64, x.device())};
  sort_kernels(x, descending, result.values, result.indices);
  return result;
}

}  // namespace tessera::ops
