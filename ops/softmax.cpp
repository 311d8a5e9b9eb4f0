#include "ops/softmax.h"

#include "ops/dtypes.h"

namespace tessera::ops {

namespace {

Tensor forward(const SoftmaxTable& kernels, const Tensor& x, int dim, bool (&takes)(DType) = is_compute_float) {
  TESSERA_CHECK(x.defined(), "{}: the input is undefined", kernels.name());
  TESSERA_CHECK(takes(x.dtype()), "{}: dtype {} is not supported, use {}", kernels.name(), name_of(x.dtype()),
                types_taken(takes));
  const ReduceDims dims = reduce_dims(x.shape(), dim, kernels.name());
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  kernels(dims, x, y);
  return y;
}

Tensor backward(const SoftmaxBackwardTable& kernels, const Tensor& gy, const Tensor& y, int dim,
                bool (&takes)(DType) = is_compute_float) {
  TESSERA_CHECK(gy.shape() == y.shape() && gy.dtype() == y.dtype() && takes(y.dtype()),
                "{}: gradient {} {} does not belong to {} {}", kernels.name(), name_of(gy.dtype()), gy.shape(),
                name_of(y.dtype()), y.shape());
  const ReduceDims dims = reduce_dims(y.shape(), dim, kernels.name());
  Tensor gx = Tensor::empty(y.shape(), y.dtype(), y.device());
  kernels(dims, gy, y, gx);
  return gx;
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  return forward(softmax_kernels, x, dim);
}
Tensor softmax_backward(const Tensor& gy, const Tensor& y, int dim) {
  return backward(softmax_backward_kernels, gy, y, dim);
}
Tensor log_softmax(const Tensor& x, int dim) {
  return forward(log_softmax_kernels, x, dim);
}
Tensor log_softmax_backward(const Tensor& gy, const Tensor& y, int dim) {
  return backward(log_softmax_backward_kernels, gy, y, dim);
}
Tensor normalised_sigmoid(const Tensor& x, int dim) {
  return forward(normalised_sigmoid_kernels, x, dim, is_activation);
}
Tensor normalised_sigmoid_backward(const Tensor& gy, const Tensor& x, int dim) {
  return backward(normalised_sigmoid_backward_kernels, gy, x, dim, is_activation);
}

}  // namespace tessera::ops
