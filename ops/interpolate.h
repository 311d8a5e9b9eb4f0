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
//
//   concat_resized   the parts resized to height x width, side by side as channels: what a pyramid of maps is joined
//   by.
//                    Each part is resized to its place; one that has the size already is copied
#pragma once

#include <algorithm>
#include <vector>

#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Interpolation { kNearest, kBilinear };

Tensor interpolate(const Tensor& x, i64 height, i64 width, Interpolation mode, bool align_corners = false);
// gy [N, height, width, C or more]: of its channels those from `channel` on.
Tensor interpolate_backward(const Tensor& gy, const Shape& x_shape, Interpolation mode, bool align_corners = false,
                            i64 channel = 0);

// parts [N, H_i, W_i, C_i], of one dtype -> [N, height, width, sum of C_i]
Tensor concat_resized(const std::vector<Tensor>& parts, i64 height, i64 width, Interpolation mode);

// y and gy may have more channels than x: channels [channel, channel + C) are meant.
using InterpolateKernel = void(const Tensor& x, Interpolation mode, bool align_corners, i64 channel, Tensor& y);
using InterpolateBackwardKernel = void(const Tensor& gy, Interpolation mode, bool align_corners, i64 channel,
                                       Tensor& gx);

inline constinit KernelTable<InterpolateKernel> interpolate_kernels{
    "interpolate", [](const Tensor& x, Interpolation mode, bool, i64, Tensor& y) {
      return Work{0, y.numel() / std::max<i64>(y.dim(3), 1) * x.dim(3) * (mode == Interpolation::kBilinear ? 4 : 1)};
    }};
inline constinit KernelTable<InterpolateBackwardKernel> interpolate_backward_kernels{"interpolate_backward"};

}  // namespace tessera::ops
