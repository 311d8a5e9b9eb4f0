#include "ops/sort.h"

namespace tessera::ops {

SortResult sort(const Tensor& x, bool descending) {
  TESSERA_CHECK(x.defined() && x.rank() >= 1, "sort: x must be [..., K], got {}", x.shape());
  TESSERA_CHECK(is_compute_float(x.dtype()), "sort: dtype {} is not supported, use f32 or f64", name_of(x.dtype()));
  SortResult result{Tensor::empty(x.shape(), x.dtype(), x.device()), Tensor::empty(x.shape(), DType::kI64, x.device())};
  sort_kernels(x, descending, result.values, result.indices);
  return result;
}

}  // namespace tessera::ops
