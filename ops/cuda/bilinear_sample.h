// One bilinear sample of an NHWC map: the cell between four pixels that it lies in, and how far. The emulated and the
// real device's counterpart of ops/cpu/bilinear_sample.h.
#pragma once

#include "ops/cuda/group_by_key.h"
#include "tensor/cuda/launch.h"

namespace tessera::cuda {

// Sampled columns of a deformable convolution at a time, in bytes. The emulated device has little, so that its tests
// have several chunks.
inline constexpr i64 kColumnBytes = kDevice == DeviceKind::kCudaEmulated ? 4096 : i64{64} << 20;

// Corners in order: top left, top right, bottom left, bottom right. A map of H x W pixels has (H + 1) x (W + 1) cells:
// those at its edges have corners outside.
struct BilinearSample {
  int top = 0, left = 0;      // the pixel top left of it, -1 to H - 1 and -1 to W - 1
  float down = 0, right = 0;  // how far below and right of that, in [0, 1)
  bool any = false;           // whether any corner is inside

  __device__ bool inside(int k, int H, int W) const {
    const int v = top + k / 2, u = left + k % 2;
    return any && v >= 0 && v < H && u >= 0 && u < W;
  }
  // Where corner k lies, in pixels from the first of the map.
  __device__ i64 pixel(int k, int W) const { return static_cast<i64>(top + k / 2) * W + left + k % 2; }
  __device__ float weight(int k) const { return (k / 2 ? down : 1 - down) * (k % 2 ? right : 1 - right); }
  __device__ i64 cell(int W) const { return static_cast<i64>(top + 1) * (W + 1) + left + 1; }

  // The derivatives by the row and by the column, given each corner's value (or its product with a gradient).
  __device__ float slope_down(const float values[4]) const {
    return (1 - right) * (values[2] - values[0]) + right * (values[3] - values[1]);
  }
  __device__ float slope_right(const float values[4]) const {
    return (1 - down) * (values[1] - values[0]) + down * (values[3] - values[2]);
  }
};

inline i64 cells_of(i64 H, i64 W) {
  return (H + 1) * (W + 1);
}

// At pixel coordinates (h, w); no corner is inside where [-1, H) x [-1, W) is left, or at a NaN.
template <class Coordinate>
__device__ BilinearSample bilinear_sample(Coordinate h, Coordinate w, int H, int W) {
  BilinearSample sample;
  sample.any = h >= -1 && h < static_cast<Coordinate>(H) && w >= -1 && w < static_cast<Coordinate>(W);
  if (!sample.any) return sample;
  const Coordinate top = std::floor(h), left = std::floor(w);
  sample.top = static_cast<int>(top);
  sample.left = static_cast<int>(left);
  sample.down = static_cast<float>(h - top);
  sample.right = static_cast<float>(w - left);
  return sample;
}

// Calls visit(u32 item, k) for all samples of which pixel (v, u) is corner k, cell by cell, given the samples grouped
// by their cells; `base` is the number of the map's first cell.
template <class Visit>
__device__ void each_reader(const GroupsView& samples, i64 base, int W, int v, int u, Visit&& visit) {
  for (int k = 0; k < 4; ++k) {
    const i64 cell = base + static_cast<i64>(v - k / 2 + 1) * (W + 1) + u - k % 2 + 1;
    for (i32 i = samples.first[cell]; i < samples.first[cell + 1]; ++i) visit(static_cast<u32>(samples.items[i]), k);
  }
}

}  // namespace tessera::cuda
