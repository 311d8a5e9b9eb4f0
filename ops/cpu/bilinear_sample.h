// One bilinear sample of an NHWC map: where its four corners lie and what they weigh. Corners outside the map are 0.
#pragma once

#include <array>
#include <cmath>

#include "ops/cpu/simd/bilinear.h"
#include "tensor/dtype.h"

namespace tessera::cpu {

template <class T>
const BilinearKernels<T>& bilinear_kernels() {
  static const BilinearKernels<T> kernels = [] {
    BilinearKernels<T> result;
    bilinear_kernels_table.get<T>()(result);
    return result;
  }();
  return kernels;
}

struct MapSize {
  i64 H, W, C;
};

// Corners in order: top left, top right, bottom left, bottom right.
template <class T>
struct BilinearSample {
  i64 top_left = 0;       // the element where that pixel begins, or would begin
  T down = 0, right = 0;  // how far below and right of the top left corner, in [0, 1)
  bool inside[4] = {};

  bool any() const { return inside[0] || inside[1] || inside[2] || inside[3]; }
  std::array<T, 4> weights() const {
    return {(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right};
  }

  // Where channel c of corner k lies.
  i64 corner(const MapSize& map, int k, i64 c) const { return top_left + (k / 2 * map.W + k % 2) * map.C + c; }

  // The corners from channel c on; zeros for those outside.
  std::array<const T*, 4> corners(const T* x, const MapSize& map, i64 c, const T* zeros) const {
    std::array<const T*, 4> pointers;
    for (int k = 0; k < 4; ++k) pointers[k] = inside[k] ? x + corner(map, k, c) : zeros;
    return pointers;
  }

  // The derivatives by the row and by the column, given each corner's value (or its product with a gradient).
  std::array<T, 2> slopes(const T values[4]) const {
    return {(1 - right) * (values[2] - values[0]) + right * (values[3] - values[1]),
            (1 - down) * (values[1] - values[0]) + down * (values[3] - values[2])};
  }
};

// At pixel coordinates (h, w) of an image; no corner is inside for [-1, H) x [-1, W) left, or at a NaN.
template <class T, class Coordinate>
BilinearSample<T> bilinear_sample(i64 image, Coordinate h, Coordinate w, const MapSize& map) {
  BilinearSample<T> sample;
  if (!(h >= -1 && h < static_cast<Coordinate>(map.H) && w >= -1 && w < static_cast<Coordinate>(map.W))) return sample;
  const i64 top = static_cast<i64>(std::floor(h)), left = static_cast<i64>(std::floor(w));
  sample.top_left = ((image * map.H + top) * map.W + left) * map.C;
  sample.down = static_cast<T>(h - static_cast<Coordinate>(top));
  sample.right = static_cast<T>(w - static_cast<Coordinate>(left));
  for (int k = 0; k < 4; ++k) {
    const i64 row = top + k / 2, column = left + k % 2;
    sample.inside[k] = row >= 0 && row < map.H && column >= 0 && column < map.W;
  }
  return sample;
}

}  // namespace tessera::cpu
