// Resizing of feature maps in NHWC: x [N, H, W, C] -> y [N, height, width, C], f32, f64 or bf16.
//
// A position o of an output axis of size `out` reads the input axis of size `in`; rows first, then columns:
//   bilinear   (1 - f) x[i] + f x[min(i + 1, in - 1)],  i = floor(s),  f = s - i,
//              s = max((o + 1/2) in / out - 1/2, 0);  with align_corners s = o (in - 1) / (out - 1), or 0 for out = 1
//   nearest    x[min(floor(o (in / out)), in - 1)] with the quotient rounded to f32, as in PyTorch: for some sizes
//              (2 -> 82 is one) the exact quotient would choose another pixel here and there
// No antialiasing. The backward is the transposed sum, gathered in a fixed order: deterministic.
//
// N and C may be 0. Errors: rank, an empty input map, an output size < 1, align_corners with nearest.
// Source: PyTorch's interpolate with `size` given.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Interpolation { kNearest, kBilinear };

Tensor interpolate(const Tensor& x, i64 height, i64 width, Interpolation mode, bool align_corners = false);
Tensor interpolate_backward(const Tensor& gy, const Shape& x_shape, Interpolation mode, bool align_corners = false);

using InterpolateKernel = void(const Tensor& x, Interpolation mode, bool align_corners, Tensor& y);
using InterpolateBackwardKernel = void(const Tensor& gy, Interpolation mode, bool align_corners, Tensor& gx);

inline constinit KernelTable<InterpolateKernel> interpolate_kernels{
    "interpolate", [](const Tensor&, Interpolation mode, bool, Tensor& y) {
      return Work{0, y.numel() * (mode == Interpolation::kBilinear ? 4 : 1)};
    }};
inline constinit KernelTable<InterpolateBackwardKernel> interpolate_backward_kernels{"interpolate_backward"};

}  // namespace tessera::ops
