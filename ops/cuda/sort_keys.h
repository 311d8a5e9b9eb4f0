// Sorting whole numbers on a CUDA device: what sort, top_k, nms and scatter_add_rows stand on.
#pragma once

#include <limits>

#include "ops/scalar/sort.h"
#include "tensor/cuda/launch.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

// Each row of keys, i64 [R, n], ascending as unsigned numbers; all keys of a row differ. Of the result, [R, at most n],
// the first `keep` of each row are right. The keys are used up: their memory serves as scratch.
Tensor sort_keys(Tensor keys, i64 keep = std::numeric_limits<i64>::max());

inline u64* keys_of(Tensor& keys) {
  return reinterpret_cast<u64*>(keys.device_data<i64>());
}

// A key holds what is sorted by in its upper half and the position in its lower one: equal values keep their order.
inline constexpr i64 kMaxPositions = i64{1} << 32;
__device__ inline u64 make_key(u32 value, i64 position) {
  return static_cast<u64>(value) << 32 | static_cast<u64>(position);
}
__device__ inline i64 value_of(u64 key) {
  return static_cast<i64>(key >> 32);
}
__device__ inline i64 position_of(u64 key) {
  return static_cast<i64>(key & 0xFFFFFFFF);
}

}  // namespace tessera::cuda
