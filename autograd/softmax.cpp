#include "autograd/softmax.h"

#include "ops/softmax.h"

namespace tessera {

Var softmax(const Var& x, int dim) {
  Tensor y = ops::softmax(x.value(), dim);
  return record("softmax", y, {x}, [y, dim](const Tensor& gy, Gradients& gradients) {
    gradients.add(0, ops::softmax_backward(gy, y, dim));
  });
}

Var log_softmax(const Var& x, int dim) {
  Tensor y = ops::log_softmax(x.value(), dim);
  return record("log_softmax", y, {x}, [y, dim](const Tensor& gy, Gradients& gradients) {
    gradients.add(0, ops::log_softmax_backward(gy, y, dim));
  });
}

}  // namespace tessera
