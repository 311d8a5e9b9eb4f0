// Sorts rows of 64-bit keys (ops/cuda/sort_keys.h).
//
// A block sorts a tile of up to 2048 neighbouring keys of one row in shared memory by Batcher's bitonic network: of
// each pair that a step compares one thread takes care. Longer rows are merged from sorted runs, two at a time, run
// length doubling: one thread per key counts by bisection how many keys of the other run stand before it, and that
// number is how far it moves. Because all keys differ, this is a permutation whatever the order of the threads.
//
// When only the first few of a row are wanted, each tile gives up all but its best, and what is left, at most half as
// many, is sorted again: the row is read once, and no merging is needed.
//
// Bytes: 16 n for the tiles, 16 n and the reads of the bisection, which hit the cache, per merge: log2(n / 2048) of
// them.
#include <algorithm>

#include "ops/cuda/sort_keys.h"

namespace tessera::cuda {

namespace {

constexpr i64 kTile = 2048;

struct Tile {
  u64 keys[kTile];
};

// tile: a power of two, the run of keys of one block; of each the first `kept` go to `to`, [rows, kept_per_row].
__global__ void sort_tiles_kernel(i64 n, int tile, int kept, i64 kept_per_row, const u64* from, u64* to) {
  Tile& shared = shared_memory<Tile>();
  u64* const keys = shared.keys;
  const i64 tiles = (n + tile - 1) / tile, row = blockIdx.x / tiles, index = blockIdx.x % tiles, begin = index * tile;
  const int threads = static_cast<int>(blockDim.x), first = static_cast<int>(threadIdx.x);
  const int count = static_cast<int>(std::min<i64>(tile, n - begin));
  from += row * n + begin;
  for (int i = first; i < tile; i += threads) keys[i] = i < count ? from[i] : ~u64{0};  // the padding stands last
  for (int size = 2; size <= tile; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int pair = first; pair < tile / 2; pair += threads) {
        const int i = 2 * pair - (pair & (stride - 1)), j = i + stride;
        const u64 a = keys[i], b = keys[j];
        if ((a > b) == ((i & size) == 0)) keys[i] = b, keys[j] = a;
      }
    }
  __syncthreads();
  to += row * kept_per_row + index * kept;
  for (int i = first; i < std::min(count, kept); i += threads) to[i] = keys[i];
}

// Runs of `run` keys become runs of twice as many.
__global__ void merge_kernel(i64 numel, i64 n, i64 run, const u64* from, u64* to) {
  for (const i64 at : indices(numel)) {
    const i64 i = at % n, row = at - i, own = i / run * run, pair = i / (2 * run) * (2 * run);
    const i64 other = own == pair ? own + run : pair;
    const u64 key = from[at];
    i64 low = 0, high = std::max<i64>(0, std::min(run, n - other));  // how many of the other run are smaller
    while (low < high) {
      const i64 middle = (low + high) / 2;
      if (from[row + other + middle] < key) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    to[row + pair + (i - own) + low] = key;
  }
}

// The first `keep` of each tile of `tile` keys, in order: [R, kept].
Tensor sort_tiles(Tensor& keys, i64 tile, i64 keep) {
  const i64 R = keys.dim(0), n = keys.dim(1), tiles = ceil_div(n, tile), last = n - (tiles - 1) * tile;
  Tensor sorted = Tensor::empty({R, (tiles - 1) * keep + std::min(keep, last)}, DType::kI64, keys.device());
  launch<sort_tiles_kernel>(Launch{.grid = static_cast<unsigned>(R * tiles),
                                   .block = static_cast<unsigned>(std::clamp<i64>(tile / 2, kWarp, kMostThreads))},
                            n, static_cast<int>(tile), static_cast<int>(keep), sorted.dim(1), keys_of(keys),
                            keys_of(sorted));
  return sorted;
}

}  // namespace

Tensor sort_keys(Tensor keys, i64 keep) {
  const i64 R = keys.dim(0);
  keep = std::min(keep, keys.dim(1));
  if (R == 0 || keep == 0) return Tensor::empty({R, keep}, DType::kI64, keys.device());
  while (keys.dim(1) > kTile && keep <= kTile / 2) keys = sort_tiles(keys, kTile, keep);
  const i64 n = keys.dim(1);
  if (n <= kTile) return sort_tiles(keys, static_cast<i64>(std::bit_ceil(static_cast<u64>(n))), keep);
  Tensor sorted = sort_tiles(keys, kTile, kTile);
  for (i64 run = kTile; run < n; run *= 2) {
    launch<merge_kernel>(over(R * n), R * n, n, run, keys_of(sorted), keys_of(keys));
    std::swap(sorted, keys);
  }
  return sorted;
}

}  // namespace tessera::cuda
