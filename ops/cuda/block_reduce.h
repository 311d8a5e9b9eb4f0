// Sums and maxima over a warp and over a block, in an order that depends on the number of threads alone.
#pragma once

#include "tensor/cuda/launch.h"

namespace tessera::cuda {

struct SumOf {
  template <class T>
  __device__ static T of(T a, T b) {
    return a + b;
  }
};
struct MaxOf {  // NaN wins
  template <class T>
  __device__ static T of(T a, T b) {
    return a > b || a != a ? a : b;
  }
};

// The reduction of `value` over the warp's 32 lanes, in every lane.
template <class Op, class T>
__device__ T warp_reduce(T value, Where where = Where::current()) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value = Op::of(value, warp_shuffle_xor(value, offset, where));
  return value;
}
template <class T>
__device__ T warp_sum(T value, Where where = Where::current()) {
  return warp_reduce<SumOf>(value, where);
}
template <class T>
__device__ T warp_max(T value, Where where = Where::current()) {
  return warp_reduce<MaxOf>(value, where);
}

// A warp per row: the row of this thread's warp, and the launch.
__device__ inline i64 row_of_warp() {
  return (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
}
inline Launch warp_per_row(i64 rows) {
  constexpr int kThreads = 128;
  return {.grid = static_cast<unsigned>(ceil_div(rows * kWarp, kThreads)), .block = kThreads};
}

// The same over the block, in every thread. Blocks of one dimension, a multiple of 32 threads; all threads take part.
template <class Op, class T>
__device__ T block_reduce(T value, Where where = Where::current()) {
  struct Scratch {
    T warps[kWarp];
  };
  Scratch& scratch = shared_memory<Scratch>();
  value = warp_reduce<Op>(value, where);
  if (lane() == 0) scratch.warps[warp()] = value;
  block_barrier(where);
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  T total = scratch.warps[0];
  for (int w = 1; w < warps; ++w) total = Op::of(total, scratch.warps[w]);
  block_barrier(where);  // the next reduction may write scratch again
  return total;
}
template <class T>
__device__ T block_sum(T value, Where where = Where::current()) {
  return block_reduce<SumOf>(value, where);
}

}  // namespace tessera::cuda
