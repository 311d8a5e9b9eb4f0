// How threads walk the pixels of maps [N, H, W, C]: one thread per pixel and kWidth neighbouring channels
// (ops/cuda/channels.h), neighbouring threads side by side in memory.
//
//   template <int kWidth>
//   __global__ void copy_kernel(MapDims map, const float* x, float* y) {
//     for (const MapPosition at : positions<kWidth>(map))
//       Channels<kWidth>::load(x + at.index).store(y + at.index);
//   }
//   launch<copy_kernel<kWidth>>(over_map<kWidth>(map), map, x, y);
#pragma once

#include "ops/cuda/channels.h"
#include "ops/cuda/divider.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

// Positions are 32-bit integers in kernels.
struct MapDims {
  MapDims(i64 N_, i64 H_, i64 W_, i64 C_)
      : N(N_),
        H(static_cast<int>(H_)),
        W(static_cast<int>(W_)),
        C(static_cast<int>(C_)),
        row(static_cast<int>(W_ * C_)),
        by_H(H_),
        by_C(C_) {
    TESSERA_CHECK(std::max(N_ * H_, W_ * C_) <= std::numeric_limits<i32>::max(),
                  "{}: a map of {} x {} rows of {} x {} is too large for one kernel; use a smaller batch",
                  OpScope::current(), N_, H_, W_, C_);
  }
  __device__ i64 at(int n, int h, int w, int c) const { return static_cast<i64>(n * H + h) * row + (w * C + c); }

  i64 N;
  int H, W, C, row;  // row: elements of a row of pixels
  Divider by_H, by_C;
};

inline MapDims map_of(const Tensor& map) {
  return {map.dim(0), map.dim(1), map.dim(2), map.dim(3)};
}

// blockIdx.x is a row of pixels (n, h); blockIdx.y and the threads walk along it.
template <int kWidth>
Launch over_map(const MapDims& map) {
  const i64 items = map.row / kWidth;
  const i64 threads = std::clamp<i64>(ceil_div(items, kWarp) * kWarp, kWarp, 256);
  return {.grid = {static_cast<unsigned>(map.N * map.H),
                   static_cast<unsigned>(std::min<i64>(ceil_div(items, threads), 65535))},
          .block = static_cast<unsigned>(threads)};
}

// c: the first of the thread's channels; index: where it lies in the map.
struct MapPosition {
  int n, h, w, c;
  i64 index;
};

template <int kWidth>
class Positions {
 public:
  struct Iterator {
    const MapDims& map;
    u32 along, step;  // elements
    __device__ MapPosition operator*() const {
      const u32 row = blockIdx.x;
      return {static_cast<int>(row / map.by_H), static_cast<int>(row % map.by_H), static_cast<int>(along / map.by_C),
              static_cast<int>(along % map.by_C), static_cast<i64>(row) * map.row + along};
    }
    __device__ void operator++() { along += step; }
    __device__ bool operator!=(u32 end) const { return along < end; }
  };
  __device__ explicit Positions(const MapDims& map) : map_(map) {}
  __device__ Iterator begin() const {
    return {map_, (blockIdx.y * blockDim.x + threadIdx.x) * kWidth, gridDim.y * blockDim.x * kWidth};
  }
  __device__ u32 end() const { return static_cast<u32>(map_.row); }

 private:
  const MapDims& map_;
};
template <int kWidth>
__device__ Positions<kWidth> positions(const MapDims& map) {
  return Positions<kWidth>(map);
}

}  // namespace tessera::cuda
