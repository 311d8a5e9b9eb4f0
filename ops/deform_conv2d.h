// Deformable convolution in NHWC, f32 and f64, or offset and mask in f32 and the rest in bf16: v1 (Dai et al. 2017)
// and, with a mask, v2 (Zhu et al. 2019), as in torchvision.
//
//   y[n, oh, ow, o] = bias[o] + sum over t and i of
//                     mask[n, oh, ow, q T + t] x(n, h, v, g I + i) w[o, kh, kw, i]
//   h = oh s - p + kh d + offset[n, oh, ow, q 2 T + 2 t],  v = ow s - p + kw d + offset[n, oh, ow, q 2 T + 2 t + 1]
//
// with the T = Kh Kw kernel positions t = kh Kw + kw, q = the offset group of channel g I + i (offset_groups equal
// blocks of the Cin channels). x(n, h, v) is bilinear between the four pixels around (h, v), where a pixel outside the
// image counts as 0; a sample outside [-1, H) x [-1, W), or at a NaN, is 0 and has no gradient.
#pragma once

#include "ops/conv2d.h"

namespace tessera::ops {

struct DeformConv2dParams {
  i64 stride = 1, padding = 0, dilation = 1;  // pixels, the same for both axes
  i64 groups = 1, offset_groups = 1;
};

struct DeformConv2dDims {
  Conv2dDims conv;
  i64 offset_groups;
  i64 positions() const { return conv.Kh * conv.Kw; }
  i64 offset_channels() const { return conv.Ci / offset_groups; }  // channels that share an offset
};

using DeformConv2dKernel = void(const DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask,
                                const Tensor& weight, const Tensor& bias, Tensor& y);
using DeformConv2dBackwardInputKernel = void(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                             const Tensor& offset, const Tensor& mask, const Tensor& weight, Tensor& gx,
                                             Tensor& goffset, Tensor& gmask);
using DeformConv2dBackwardWeightKernel = void(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                              const Tensor& offset, const Tensor& mask, Tensor& gw);
// The published counts leave deformable convolutions out; here they count as their plain twins, without the sampling.
inline constinit KernelTable<DeformConv2dKernel> deform_conv2d_kernels{"deform_conv2d",
                                                                       [](const DeformConv2dDims& dims, auto&&...) {
                                                                         return Work{dims.conv.multiply_adds(), 0};
                                                                       }};
inline constinit KernelTable<DeformConv2dBackwardInputKernel> deform_conv2d_backward_input_kernels{
    "deform_conv2d_backward_input"};
inline constinit KernelTable<DeformConv2dBackwardWeightKernel> deform_conv2d_backward_weight_kernels{
    "deform_conv2d_backward_weight"};

// x [N, H, W, Cin], offset [N, Ho, Wo, offset_groups * 2 * Kh * Kw], mask [N, Ho, Wo, offset_groups * Kh * Kw] or
// undefined (v1), weight [Cout, Kh, Kw, Cin/groups], bias [Cout] or undefined -> [N, Ho, Wo, Cout].
Tensor deform_conv2d(const Tensor& x, const Tensor& offset, const Tensor& mask, const Tensor& weight,
                     const Tensor& bias, const DeformConv2dParams& params);

struct DeformConv2dGradients {
  Tensor x, offset, mask;  // mask is undefined for v1
};
// The gradients of everything that decides the samples, from gy [N, Ho, Wo, Cout]. The derivative by an offset is that
// of the bilinear surface towards larger coordinates where it has a kink, as in torchvision.
DeformConv2dGradients deform_conv2d_backward_input(const Tensor& gy, const Tensor& x, const Tensor& offset,
                                                   const Tensor& mask, const Tensor& weight,
                                                   const DeformConv2dParams& params);
Tensor deform_conv2d_backward_weight(const Tensor& gy, const Tensor& x, const Tensor& offset, const Tensor& mask,
                                     const Shape& weight_shape, const DeformConv2dParams& params);

}  // namespace tessera::ops
