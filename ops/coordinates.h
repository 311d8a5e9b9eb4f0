// Where each pixel of a feature map lies, as two channels to be put beside the map's own (CoordConv, Liu et al. 2018):
//
//   y[n, i, j] = (-1 + 2 j / (W - 1), -1 + 2 i / (H - 1));  -1 along an axis of a single pixel
//
// x [N, H, W, C], f32, f64 or bf16, tells the sizes, the dtype and the device; its values are not read and it gets no
// gradient. Computed in f64 and rounded once. Errors: rank.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

inline constinit KernelTable<void(Tensor& y)> pixel_coordinates_kernels{"pixel_coordinates"};
Tensor pixel_coordinates(const Tensor& x);  // [N, H, W, 2]

// One coordinate; the kernels' formula.
constexpr double pixel_coordinate(i64 position, i64 size) {
  return size > 1 ? -1 + 2 * static_cast<double>(position) / static_cast<double>(size - 1) : -1;
}

}  // namespace tessera::ops
