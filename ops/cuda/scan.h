// Prefix sums of whole numbers: over a block and over a tensor.
#pragma once

#include "tensor/cuda/launch.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

// The sum of `value` over the threads before this one; total: that over the block. Blocks of one dimension, a multiple
// of 32 threads; all threads take part.
__device__ inline i32 block_exclusive_scan(i32 value, i32& total, Where where = Where::current()) {
  struct Scratch {
    i32 warps[kWarp];
  };
  Scratch& scratch = shared_memory<Scratch>();
  i32 sum = value;  // over the lanes up to this one
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const i32 before = warp_shuffle_up(sum, offset, where);
    if (lane() >= offset) sum += before;
  }
  if (lane() == kWarp - 1) scratch.warps[warp()] = sum;
  block_barrier(where);
  i32 before = 0;
  total = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
    if (w == warp()) before = total;
    total += scratch.warps[w];
  }
  block_barrier(where);  // the next scan may write scratch again
  return before + sum - value;
}

// values [n] i32: each is replaced by the sum of those before it. The sum of all must be below 2^31.
void exclusive_scan(Tensor& values);

}  // namespace tessera::cuda
