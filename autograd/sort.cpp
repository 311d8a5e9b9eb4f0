#include "autograd/sort.h"

#include "ops/arrange.h"
#include "ops/sort.h"

namespace tessera {

Sorted sort(const Var& x, bool descending) {
  ops::SortResult sorted = ops::sort(x.value(), descending);
  const Var values = record("sort", sorted.values, {x},
                            [indices = sorted.indices, shape = x.shape()](const Tensor& gy, Gradients& gradients) {
                              gradients.add(0, ops::top_k_backward(gy, indices, shape));
                            });
  return {values, sorted.indices};
}

}  // namespace tessera
