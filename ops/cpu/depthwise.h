// Depthwise convolution on the CPU: one kernel per channel, groups = Cin = Cout. See ops/conv2d.h for the formulas.
#pragma once

#include <vector>

#include "ops/conv2d.h"
#include "ops/cpu/patches.h"
#include "ops/cpu/simd/depthwise.h"

namespace tessera::cpu {

// The taps of one row of outputs that lie inside the image; the others add nothing.
template <class T>
struct RowTaps {
  std::vector<const T*> rows;
  std::vector<i64> tap_w;
  std::vector<i64> position;

  // image_row(h): where row h of the image begins. `row`: of the grid, within its image.
  template <class ImageRow>
  simd::DepthwiseRow<T> set(const Patches& patches, i64 row, ImageRow image_row) {
    rows.clear(), tap_w.clear(), position.clear();
    for (const Patches::Tap& tap : patches.taps) {
      const i64 h = row * patches.step + tap.h;
      if (h < 0 || h >= patches.image_h) continue;
      rows.push_back(image_row(h));
      tap_w.push_back(tap.w);
      position.push_back(tap.position);
    }
    return {.channels = patches.channels,
            .width = patches.image_w,
            .outputs = patches.grid_w,
            .step = patches.step,
            .taps = static_cast<i64>(rows.size()),
            .rows = rows.data(),
            .tap_w = tap_w.data()};
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
