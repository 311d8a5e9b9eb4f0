#include "autograd/conv2d.h"

#include "ops/pointwise.h"

namespace tessera {

Var conv2d(const Var& x, const Var& weight, const Var& bias, const ops::Conv2dParams& params) {
  const Tensor y = ops::conv2d(x.value(), weight.value(), bias.value(), params);
  const Shape x_shape = x.shape(), w_shape = weight.shape();
  // The gradient of the input needs the weight and the other way round; the activation is undone from the result.
  const Tensor x_kept = weight.requires_grad() ? x.value() : Tensor(), w_kept = x.requires_grad() ? weight.value() : Tensor();
  const Tensor y_kept = params.activation == ops::Activation::kRelu ? y : Tensor();
  return record("conv2d", y, {x, weight, bias}, [=](const Tensor& gy, Gradients& gradients) {
    const Tensor g = y_kept.defined() ? ops::relu_backward(gy, y_kept) : gy;
    if (gradients.needs(0)) gradients.add(0, ops::conv2d_backward_input(g, w_kept, x_shape, params));
    if (gradients.needs(1)) gradients.add(1, ops::conv2d_backward_weight(g, x_kept, w_shape, params));
    if (gradients.needs(2)) gradients.add(2, ops::conv2d_backward_bias(g));
  });
}

}  // namespace tessera
