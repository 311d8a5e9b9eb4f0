// How threads walk the pixels of maps [N, H, W, C]: one thread per pixel and kWidth neighbouring channels
// (ops/cuda/channels.h), neighbouring threads side by side in memory.
//
//   template <int kWidth>
//   __global__ void copy_kernel(MapDims map, const float* x, float* y) {
//     for (const MapPosition at : positions<kWidth>(map)) {
//       const i64 i = map.at(at.n, at.h, at.w, at.c);
//       Channels<kWidth>::load(x + i).store(y + i);
//     }
//   }
//   launch<copy_kernel<kWidth>>(over_map<kWidth>(map), map, x, y);
#pragma once

#include "ops/cuda/channels.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

struct MapDims {
  i64 N, H, W, C;
  __device__ i64 at(i64 n, i64 h, i64 w, i64 c) const { return ((n * H + h) * W + w) * C + c; }
};

inline MapDims map_of(const Tensor& map) {
  return {map.dim(0), map.dim(1), map.dim(2), map.dim(3)};
}

// blockIdx.x is a row of pixels (n, h); blockIdx.y and the threads walk along it. Then no thread divides 64-bit
// numbers, which would cost more than the little it reads.
template <int kWidth>
Launch over_map(const MapDims& map) {
  const i64 items = map.W * map.C / kWidth;
  const i64 threads = std::clamp<i64>(ceil_div(items, kWarp) * kWarp, kWarp, 256);
  return {.grid = {static_cast<unsigned>(map.N * map.H),
                   static_cast<unsigned>(std::min<i64>(ceil_div(items, threads), 65535))},
          .block = static_cast<unsigned>(threads)};
}

// c: the first of the thread's channels.
struct MapPosition {
  i64 n;
  int h, w, c;
};

template <int kWidth>
class Positions {
 public:
  struct Iterator {
    unsigned item, step, per_pixel, row, H;
    __device__ MapPosition operator*() const {
      return {static_cast<i64>(row / H), static_cast<int>(row % H), static_cast<int>(item / per_pixel),
              static_cast<int>(item % per_pixel) * kWidth};
    }
    __device__ void operator++() { item += step; }
    __device__ bool operator!=(unsigned end) const { return item < end; }
  };
  __device__ explicit Positions(const MapDims& map)
      : H_(static_cast<unsigned>(map.H)),
        per_pixel_(static_cast<unsigned>(map.C / kWidth)),
        end_(static_cast<unsigned>(map.W) * per_pixel_) {}
  __device__ Iterator begin() const {
    return {blockIdx.y * blockDim.x + threadIdx.x, gridDim.y * blockDim.x, per_pixel_, blockIdx.x, H_};
  }
  __device__ unsigned end() const { return end_; }

 private:
  unsigned H_, per_pixel_, end_;
};
template <int kWidth>
__device__ Positions<kWidth> positions(const MapDims& map) {
  return Positions<kWidth>(map);
}

}  // namespace tessera::cuda
