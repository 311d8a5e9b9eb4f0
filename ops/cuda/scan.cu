// Prefix sums in CUDA: a block has a tile of 1,024 values, four for each thread. Where there are several tiles, their
// sums are scanned in the same way and added. Reads and writes every value twice.
#include "ops/cuda/scan.h"

namespace tessera::cuda {

namespace {

constexpr int kThreads = 256, kEach = 4;
constexpr i64 kTile = kThreads * kEach;

__global__ void scan_tiles_kernel(i64 n, i32* values, i32* sums) {
  const i64 first = (static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x) * kEach;
  i32 mine[kEach], sum = 0;
  for (int i = 0; i < kEach; ++i) {
    mine[i] = first + i < n ? values[first + i] : 0;
    sum += mine[i];
  }
  i32 total = 0, before = block_exclusive_scan(sum, total);
  for (int i = 0; i < kEach; ++i) {
    if (first + i < n) values[first + i] = before;
    before += mine[i];
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void add_tile_sums_kernel(i64 n, const i32* sums, i32* values) {
  for (const i64 i : indices(n)) values[i] += sums[i / kTile];
}

}  // namespace

void exclusive_scan(Tensor& values) {
  const i64 n = values.numel(), tiles = ceil_div(n, kTile);
  Tensor sums = Tensor::empty({tiles}, DType::kI32, values.device());
  launch<scan_tiles_kernel>({.grid = static_cast<unsigned>(tiles), .block = kThreads}, n, values.device_data<i32>(),
                            sums.device_data<i32>());
  if (tiles <= 1) return;
  exclusive_scan(sums);
  launch<add_tile_sums_kernel>(over(n), n, sums.device_data<i32>(), values.device_data<i32>());
}

}  // namespace tessera::cuda
