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

Var normalised_sigmoid(const Var& x, int dim) {
  return record("normalised_sigmoid", ops::normalised_sigmoid(x.value(), dim), {x},
                [x = x.value(), dim](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::normalised_sigmoid_backward(gy, x, dim));
                });
}

}  // namespace tessera
