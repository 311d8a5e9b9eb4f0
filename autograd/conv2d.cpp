#include "autograd/conv2d.h"

#include "ops/pointwise.h"

namespace tessera {

// y is kept for the activation's gradient, and only for it.
Var conv2d(const Var& x, const Var& weight, const Var& bias, const ops::Conv2dParams& params) {
  const Tensor y = ops::conv2d(x.value(), weight.value(), bias.value(), params);
  const Tensor kept_y = params.activation == ops::Activation::kNone ? Tensor() : y;
  const Tensor kept_x = weight.requires_grad() ? x.value() : Tensor();
  const Tensor kept_w = x.requires_grad() ? weight.value() : Tensor();
  return record("conv2d", y, {x, weight, bias},
                [params, kept_x, kept_w, kept_y, x_shape = x.shape(), w_shape = weight.shape()](const Tensor& gradient,
                                                                                                Gradients& gradients) {
                  const Tensor gy = ops::activation_backward(gradient, kept_y, params.activation);
                  if (gradients.needs(0)) gradients.add(0, ops::conv2d_backward_input(gy, kept_w, x_shape, params));
                  if (gradients.needs(1)) gradients.add(1, ops::conv2d_backward_weight(gy, kept_x, w_shape, params));
                  if (gradients.needs(2)) gradients.add(2, ops::conv2d_backward_bias(gy));
                });
}

Var conv_transpose2d(const Var& x, const Var& weight, const Var& bias, const ops::ConvTranspose2dParams& params) {
  const Tensor kept_x = weight.requires_grad() ? x.value() : Tensor();
  const Tensor kept_w = x.requires_grad() ? weight.value() : Tensor();
  return record("conv_transpose2d", ops::conv_transpose2d(x.value(), weight.value(), bias.value(), params),
                {x, weight, bias},
                [params, kept_x, kept_w, w_shape = weight.shape()](const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0)) gradients.add(0, ops::conv_transpose2d_backward_input(gy, kept_w, params));
                  if (gradients.needs(1))
                    gradients.add(1, ops::conv_transpose2d_backward_weight(gy, kept_x, w_shape, params));
                  if (gradients.needs(2)) gradients.add(2, ops::conv2d_backward_bias(gy));
                });
}

// The sampled positions depend on x, offset and mask alike: their three gradients come from one pass.
Var deform_conv2d(const Var& x, const Var& offset, const Var& mask, const Var& weight, const Var& bias,
                  const ops::DeformConv2dParams& params) {
  const Tensor y = ops::deform_conv2d(x.value(), offset.value(), mask.value(), weight.value(), bias.value(), params);
  return record("deform_conv2d", y, {x, offset, mask, weight, bias},
                [params, x = x.value(), offset = offset.value(), mask = mask.value(), w = weight.value()](
                    const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0) || gradients.needs(1) || gradients.needs(2)) {
                    const ops::DeformConv2dGradients g =
                        ops::deform_conv2d_backward_input(gy, x, offset, mask, w, params);
                    gradients.add(0, g.x);
                    gradients.add(1, g.offset);
                    if (mask) gradients.add(2, g.mask);
                  }
                  if (gradients.needs(3))
                    gradients.add(3, ops::deform_conv2d_backward_weight(gy, x, offset, mask, w.shape(), params));
                  if (gradients.needs(4)) gradients.add(4, ops::conv2d_backward_bias(gy));
                });
}

}  // namespace tessera
