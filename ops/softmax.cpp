#include "ops/softmax.h"

#include "ops/checks.h"

namespace tessera::ops {

Tensor softmax(const SoftmaxTable& kernels, bool bf16, const Tensor& x, int dim) {
  check_input(kernels.name(), x, bf16 ? is_activation : is_compute_float);
  Tensor y = empty_like(x);
  kernels(reduce_dims(x.shape(), dim, kernels.name()), x, y);
  return y;
}

Tensor softmax_backward(const SoftmaxBackwardTable& kernels, bool bf16, const Tensor& gy, const Tensor& x_or_y,
                        int dim) {
  check_input(kernels.name(), x_or_y, bf16 ? is_activation : is_compute_float);
  check_gradient(kernels.name(), gy, x_or_y);
  Tensor gx = empty_like(gy);
  kernels(reduce_dims(gy.shape(), dim, kernels.name()), gy, x_or_y, gx);
  return gx;
}

}  // namespace tessera::ops
