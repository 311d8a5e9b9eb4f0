// Depthwise convolution in CUDA: one kernel per channel, groups = Cin = Cout. See ops/conv2d.h for the formulas.
#pragma once

#include "ops/conv2d.h"

namespace tessera::cuda {

// [C, Kh, Kw, 1] -> [Kh Kw, C]; turned: the last position first.
Tensor depthwise_pack(const Tensor& weight, bool turned = false);

// packed: of the weight. y = act(conv(x) + bias + residual); bias and residual may be undefined.
void depthwise(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& packed, const Tensor& bias,
               const Tensor& residual, ops::Activation activation, Tensor& y);
void depthwise_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx);
void depthwise_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw);

}  // namespace tessera::cuda
