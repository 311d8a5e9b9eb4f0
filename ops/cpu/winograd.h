// Winograd's F(4x4, 3x3) for convolutions with a 3x3 kernel, stride 1 and dilation 1 on the CPU: 36 products for 16
// outputs in place of 144 (Lavin and Gray 2016). docs/winograd.md derives it and tells its error.
#pragma once

#include "ops/conv2d.h"

namespace tessera::cpu {

// Whether it applies and pays: by the weight, when that is packed, and by the image, at each call.
bool winograd_suits_weight(const ops::Conv2dDims& dims);
bool winograd_suits_image(const ops::Conv2dDims& dims);

// weight [Co, 3, 3, Ci / groups] -> the 36 transformed matrices of each group, as panels for the matrix product.
template <class T>
Tensor winograd_pack(const Tensor& weight, i64 groups);

// The input gradient as a convolution of gy: its sizes, and the gradient itself. Padding is at most 2.
ops::Conv2dDims winograd_backward_dims(const ops::Conv2dDims& dims);
template <class T>
void winograd_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx);

// y = act(conv(x) + bias + residual); bias and residual may be undefined.
template <class T>
void winograd(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& packed, const Tensor& bias,
              const Tensor& residual, ops::Activation activation, Tensor& y);

}  // namespace tessera::cpu
