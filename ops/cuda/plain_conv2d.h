// The convolution written out in CUDA, forward and both gradients, for any size: what a reader wants to see, and what
// computes the sizes that cuDNN does not take (ops/cuda/dnn.h). Formulas in ops/conv2d.h.
#pragma once

#include "ops/conv2d.h"

namespace tessera::cuda {

// y = act(conv(x) + bias + residual); bias and residual may be undefined.
void plain_conv2d(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, ops::Activation activation, Tensor& y);
void plain_conv2d_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx);
void plain_conv2d_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw);

}  // namespace tessera::cuda
