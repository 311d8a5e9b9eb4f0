// 2-D pooling in NHWC.
//
// Output size per axis, k = kernel, s = stride, p = padding (as PyTorch):
//   out = floor((in + 2p - k) / s) + 1;  with ceil_mode: ceil, less one when the last window would start at or beyond
//   in + p, that is in the right padding.
//
//   max_pool2d            y[n,i,j,c] = max of x[n,h,w,c] over the window; padding counts as -infinity. A NaN in the
//                         window is the result; the first of several equal maxima is chosen (the last of several NaN).
//   avg_pool2d            y = sum of the window / divisor. Divisor: with count_include_pad the window's size clipped to
//                         the padded map (windows of ceil_mode may hang over it), else the number of pixels in the map.
//   adaptive_avg_pool2d   output row i of S averages the input rows floor(i H / S) to ceil((i + 1) H / S), the last
//                         excluded; columns alike.
//
// The backward of the maximum gives gy to the chosen pixel; that of an average spreads gy / divisor over the window.
// All backward kernels gather: they are deterministic.
//
// Shapes: x [N, H, W, C] -> y [N, Ho, Wo, C], f32, f64 or bf16; N and C may be 0, H and W may not.
// Errors: rank, kernel or stride < 1, padding < 0 or more than half the kernel, no output pixel. Source: PyTorch.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct Pool2dParams {
  i64 kernel = 2, stride = 2, padding = 0;  // pixels, the same for both axes
  bool ceil_mode = false;         // round the output size up; windows that start in the right padding are dropped
  bool count_include_pad = true;  // average pooling: padded zeros count in the divisor
};

struct MaxPool2dOutput {
  Tensor y;
  Tensor argmax;  // i32, the shape of y: the chosen pixel of each window as h * W + w
};

MaxPool2dOutput max_pool2d(const Tensor& x, const Pool2dParams& params);
Tensor max_pool2d_backward(const Tensor& gy, const Tensor& argmax, const Shape& x_shape, const Pool2dParams& params);

Tensor avg_pool2d(const Tensor& x, const Pool2dParams& params);
Tensor avg_pool2d_backward(const Tensor& gy, const Shape& x_shape, const Pool2dParams& params);

Tensor adaptive_avg_pool2d(const Tensor& x, i64 height, i64 width);
Tensor adaptive_avg_pool2d_backward(const Tensor& gy, const Shape& x_shape);

using MaxPool2dKernel = void(const Tensor& x, const Pool2dParams& params, Tensor& y, Tensor& argmax);
using MaxPool2dBackwardKernel = void(const Tensor& gy, const Tensor& argmax, const Pool2dParams& params, Tensor& gx);
using AvgPool2dKernel = void(const Tensor& x, const Pool2dParams& params, Tensor& y);
using AvgPool2dBackwardKernel = void(const Tensor& gy, const Pool2dParams& params, Tensor& gx);
using AdaptiveAvgPool2dKernel = void(const Tensor& x, Tensor& y);
using AdaptiveAvgPool2dBackwardKernel = void(const Tensor& gy, Tensor& gx);

inline constinit KernelTable<MaxPool2dKernel> max_pool2d_kernels{"max_pool2d"};
inline constinit KernelTable<MaxPool2dBackwardKernel> max_pool2d_backward_kernels{"max_pool2d_backward"};
inline constinit KernelTable<AvgPool2dKernel> avg_pool2d_kernels{"avg_pool2d"};
inline constinit KernelTable<AvgPool2dBackwardKernel> avg_pool2d_backward_kernels{"avg_pool2d_backward"};
inline constinit KernelTable<AdaptiveAvgPool2dKernel> adaptive_avg_pool2d_kernels{"adaptive_avg_pool2d",
                                                                                  [](const Tensor& x, Tensor&) {
                                                                                    return Work{0, x.numel()};
                                                                                  }};
inline constinit KernelTable<AdaptiveAvgPool2dBackwardKernel> adaptive_avg_pool2d_backward_kernels{
    "adaptive_avg_pool2d_backward"};

}  // namespace tessera::ops
