// Depthwise convolution on the CPU: one kernel per channel, groups = Cin = Cout. See ops/conv2d.h for the formulas.
#pragma once

#include <vector>

#include "ops/conv2d.h"
#include "ops/cpu/patches.h"
#include "ops/cpu/simd/depthwise.h"

namespace tessera::cpu {

// The kernel positions of one row of outputs that lie inside the image; the others add nothing.
template <class T>
struct RowPositions {
  std::vector<const T*> rows;
  std::vector<i64> offset_w;
  std::vector<i64> index;

  // image_row(h): where row h of the image begins. `row`: of the grid, within its image.
  template <class ImageRow>
  simd::DepthwiseRow<T> set(const Patches& patches, i64 row, ImageRow image_row) {
    rows.clear(), offset_w.clear(), index.clear();
    for (const Patches::Position& position : patches.positions) {
      const i64 h = row * patches.step + position.h;
      if (h < 0 || h >= patches.image_h) continue;
      rows.push_back(image_row(h));
      offset_w.push_back(position.w);
      index.push_back(position.index);
    }
    return {.channels = patches.channels,
            .width = patches.image_w,
            .outputs = patches.grid_w,
            .step = patches.step,
            .positions = static_cast<i64>(rows.size()),
            .rows = rows.data(),
            .offset_w = offset_w.data()};
  }

  // For row `row` of the grids of all images, which lie one after the other.
  simd::DepthwiseRow<T> set(const Patches& patches, const T* images, i64 row) {
    const i64 pitch = patches.image_w * patches.channels;
    const T* image = images + row / patches.grid_h * patches.image_h * pitch;
    return set(patches, row % patches.grid_h, [&](i64 h) { return image + h * pitch; });
  }
};

template <class T>
Tensor depthwise_pack(const Tensor& weight);  // [C, Kh, Kw, 1] -> [Kh Kw, C]

// packed: of the weight. residual is added before the activation, or undefined.
template <class T>
void depthwise(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& packed, const Tensor& bias,
               const Tensor& residual, ops::Activation activation, Tensor& y);
template <class T>
void depthwise_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx);
template <class T>
void depthwise_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw);

}  // namespace tessera::cpu
