// Transposed 2-D convolution in NHWC, f32, f64 and bf16: the gradient of a convolution by its input, as an operator.
//
//   y[n, h s - p + kh d, w s - p + kw d, g O + o] += x[n, h, w, c] weight[c, kh, kw, o]   for all n, h, w, c, kh, kw, o
//   y += bias[g O + o]
//
// with O = Cout / groups and g = c / (Cin / groups); what falls outside y is dropped. Sizes as in PyTorch:
// Ho = (H - 1) s - 2 p + d (Kh - 1) + output_padding + 1. output_padding only makes y larger at its lower right edge,
// and is smaller than the stride (PyTorch allows it below the dilation too): then the convolution from y to x has
// exactly the size of x.
//
// weight [Cin, Kh, Kw, Cout/groups] is that convolution's weight, whose output channels are our Cin. PyTorch stores
// [Cin, Cout/groups, Kh, Kw] (nn::Layout::kConvTransposeIOHW). Source: PyTorch, Zeiler et al. 2010.
#pragma once

#include "ops/conv2d.h"

namespace tessera::ops {

struct ConvTranspose2dParams {
  i64 stride = 1, padding = 0, output_padding = 0, dilation = 1;  // pixels, the same for both axes
  i64 groups = 1;
};

// dims: of the convolution from y (its x) to x (its y).
using ConvTranspose2dKernel = void(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                                   Tensor& y);
// The published counts are those of older counters, which take the kernel once per pixel of y instead of x.
inline constinit KernelTable<ConvTranspose2dKernel> conv_transpose2d_kernels{
    "conv_transpose2d", [](const Conv2dDims& dims, auto&&...) {
      return Work{dims.multiply_adds(), dims.N * dims.H * dims.W * dims.Co * dims.Kh * dims.Kw * dims.group_in()};
    }};

// x [N, H, W, Cin], weight [Cin, Kh, Kw, Cout/groups], bias [Cout] or undefined -> [N, Ho, Wo, Cout].
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose2dParams& params);

// The gradients, from gy [N, Ho, Wo, Cout]: a convolution, and the weight gradient of one. That of the bias is
// conv2d_backward_bias.
Tensor conv_transpose2d_backward_input(const Tensor& gy, const Tensor& weight, const ConvTranspose2dParams& params);
Tensor conv_transpose2d_backward_weight(const Tensor& gy, const Tensor& x, const Shape& weight_shape,
                                        const ConvTranspose2dParams& params);

}  // namespace tessera::ops
