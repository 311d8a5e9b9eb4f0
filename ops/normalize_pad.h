// Pictures as a network takes them: normalised, of one size, in one batch.
//
//   y[n, Y, X, c] = (images[n][Y, X, c] - mean[c]) / std[c] within picture n, 0 to the right of it and below
//
// The difference and the quotient are rounded by themselves: the same bits on every device.
//
// Source: Detectron2's preprocess_image with ImageList.from_tensors.
#pragma once

#include <array>
#include <vector>

#include "ops/kernel_table.h"

namespace tessera::ops {

// images: at least one, each u8 [h, w, 3] with h <= height and w <= width -> f32 [N, height, width, 3]. std is
// positive.
Tensor normalize_pad(const std::vector<Tensor>& images, const std::array<float, 3>& mean,
                     const std::array<float, 3>& std, i64 height, i64 width);

// One picture into its place y [height, width, 3].
using NormalizePadKernel = void(const Tensor& image, const std::array<float, 3>& mean, const std::array<float, 3>& std,
                                Tensor& y);
inline constinit KernelTable<NormalizePadKernel> normalize_pad_kernels{"normalize_pad"};

}  // namespace tessera::ops
