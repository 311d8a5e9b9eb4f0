// One bilinear sample (ops/scalar/bilinear.h) of an NHWC map: where its corners lie, and which samples read a pixel.
#pragma once

#include "ops/cuda/group_by_key.h"
#include "ops/scalar/bilinear.h"
#include "tensor/cuda/launch.h"

namespace tessera::cuda {

// Sampled columns of a deformable convolution at a time, in bytes. The emulated device has little, so that its tests
// have several chunks.
inline constexpr i64 kColumnBytes = kDevice == DeviceKind::kCudaEmulated ? 4096 : i64{64} << 20;

using BilinearSample = scalar::BilinearSample<float, int>;

template <class Coordinate>
__device__ BilinearSample bilinear_sample(Coordinate h, Coordinate w, int H, int W) {
  return scalar::bilinear_sample<float, int>(h, w, H, W);
}

// Where corner k lies, in pixels from the first of the map.
__device__ inline i64 pixel_of(const BilinearSample& sample, int k, int W) {
  return static_cast<i64>(sample.top + k / 2) * W + sample.left + k % 2;
}

// The cell of a sample that sees any pixel. A map of H x W pixels has (H + 1) x (W + 1): those at its edges have
// corners outside.
__device__ inline i64 cell_of(const BilinearSample& sample, int W) {
  return static_cast<i64>(sample.top + 1) * (W + 1) + sample.left + 1;
}
inline i64 cells_of(i64 H, i64 W) {
  return (H + 1) * (W + 1);
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
