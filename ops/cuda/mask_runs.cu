// Run lengths and scores of masks in CUDA; ops/mask_runs.h states the formulas.
//
// probabilities_kernel   turns the kept maps column by column, the order in which runs are counted: [M, w, h]. Tiles
//                        of 32 x 32 go through shared memory, so that both sides are accessed in whole lines.
// threshold_kernel       a warp has 32 rows of the picture and walks along columns: one ballot is 32 pixels in the
//                        order of the runs, a word of a bitmap. The sums over rows that a column needs are mostly those
//                        of the column before it (an enlarged picture repeats its columns), so they stay in registers.
// count_kernel           edges per tile of words, and one for the end of each mask; the tiles' places by a scan.
// write_ends_kernel      the same again: every run's end goes to its place, if there is room.
//
// Why a bitmap and two passes over it: an edge is found by comparing with the pixel before, which another warp, block
// or column made, and its place is known when all edges before it have been counted. The bitmap is 1 / 32 of the
// pixels' work to read again, thresholding is not. Columns begin with a word of their own: rows beyond the last repeat
// it, which makes no edge. What is not kept is passed by, and the bitmap is not read there.
//
// Compiled without fused multiply-adds, see the header. The sum of a mask's probabilities is taken by a block, in f64.
#include "ops/cuda/block_reduce.h"
#include "ops/cuda/scan.h"
#include "ops/mask_runs.h"
#include "ops/scalar/libm.h"

namespace tessera {

namespace {

using namespace cuda;
using ops::kAxisWeights;

constexpr int kTile = 32, kTileRows = 8;      // a thread has every kTileRows-th row of a tile
constexpr int kThreads = 256, kColumns = 32;  // columns that a warp walks along

struct Dims {
  i64 M, h, w;        // maps and their size
  i64 H, W;           // the picture
  i64 strips, words;  // words of a column, and of a mask
};

__device__ bool within(i64 index, i64 count) {
  return index >= 0 && index < count;
}

__device__ bool wanted(const u8* kept, i64 mask) {
  return kept == nullptr || kept[mask] != 0;
}

__global__ void probabilities_kernel(Dims d, const float* masks, const u8* kept, float* probabilities) {
  struct Tile {
    float values[kTile][kTile + 1];
  };
  auto& [values] = shared_memory<Tile>();
  const int column = static_cast<int>(threadIdx.x) % kTile, row = static_cast<int>(threadIdx.x) / kTile;
  const i64 across = ceil_div(d.w, kTile), down = ceil_div(d.h, kTile), block = blockIdx.x;
  const i64 j0 = block % across * kTile, i0 = block / across % down * kTile, k = block / across / down;
  if (!wanted(kept, k)) return;  // the whole block
  for (int r = row; r < kTile; r += kTileRows)
    if (i0 + r < d.h && j0 + column < d.w)
      values[r][column] = scalar::Libm::sigmoid(masks[(k * d.h + i0 + r) * d.w + j0 + column]);
  __syncthreads();
  for (int r = row; r < kTile; r += kTileRows)
    if (j0 + r < d.w && i0 + column < d.h) probabilities[(k * d.w + j0 + r) * d.h + i0 + column] = values[column][r];
}

// What one output position reads.
struct alignas(16) Indices4 {
  i32 at[kAxisWeights];
};
struct alignas(16) Weights4 {
  float at[kAxisWeights];
};

__global__ void threshold_kernel(Dims d, const u8* kept, const float* probabilities, const Indices4* row_index,
                                 const Weights4* row_weight, const Indices4* column_index,
                                 const Weights4* column_weight, float threshold, u32* bits) {
  const i64 unit = static_cast<i64>(blockIdx.x) * (kThreads / kWarp) + warp(), chunks = ceil_div(d.W, kColumns);
  const i64 strip = unit % d.strips, chunk = unit / d.strips % chunks, k = unit / d.strips / chunks;
  if (k >= d.M || !wanted(kept, k)) return;  // the whole warp
  const i64 row = strip * kWarp + lane(), Y = row < d.H ? row : d.H - 1;
  const Indices4 rows = row_index[Y];
  const Weights4 weights = row_weight[Y];
  const float* const map = probabilities + k * d.w * d.h;

  i32 columns[kAxisWeights] = {-1, -1, -1, -1};  // of which `sums` are the sums over rows
  float sums[kAxisWeights] = {};
  const i64 begin = chunk * kColumns, end = begin + kColumns < d.W ? begin + kColumns : d.W;
  for (i64 X = begin; X < end; ++X) {
    const Indices4 index = column_index[X];
    const Weights4 weight = column_weight[X];
    float p = 0;
    bool more = true;
    for (int s = 0; s < kAxisWeights; ++s) {
      more = more && weight.at[s] != 0;
      if (!more) continue;
      if (index.at[s] != columns[s]) {
        columns[s] = index.at[s];
        const float* const from = map + index.at[s] * d.h;
        float sum = 0;
        bool next = within(index.at[s], d.w);
        for (int t = 0; t < kAxisWeights; ++t) {
          next = next && weights.at[t] != 0;
          if (next && within(rows.at[t], d.h)) sum += weights.at[t] * from[rows.at[t]];
        }
        sums[s] = sum;
      }
      p += weight.at[s] * sums[s];
    }
    const u32 word = warp_ballot(p > threshold);
    if (lane() == 0) bits[(k * d.W + X) * d.strips + strip] = word;
  }
}

// The pixels of a word that differ from the one before them; before a mask is outside.
__device__ u32 edges_of(const u32* bits, i64 word, i64 words) {
  const u32 own = bits[word], before = word % words == 0 ? 0 : bits[word - 1] >> (kWarp - 1);
  return own ^ (own << 1 | before);
}

// Ends of runs in a word: its edges and, in the last word of a mask, the end of the picture.
struct Ends {
  u32 edges = 0;
  bool last = false;
  __device__ i32 count() const { return __popc(edges) + last; }
  __device__ static Ends of(const Dims& d, const u8* kept, const u32* bits, i64 word) {
    if (word >= d.M * d.words || !wanted(kept, word / d.words)) return {};
    return {edges_of(bits, word, d.words), word % d.words == d.words - 1};
  }
};

__global__ void count_kernel(Dims d, const u8* kept, const u32* bits, i32* counts) {
  const i64 word = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x;
  const i32 count = block_sum(Ends::of(d, kept, bits, word).count());
  if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// places: of each tile's first end.
__global__ void write_ends_kernel(Dims d, const u8* kept, const u32* bits, const i32* places, i64 room, i64* offsets,
                                  i32* ends) {
  const i64 word = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x, words = d.words;
  const Ends own = Ends::of(d, kept, bits, word);
  i32 total = 0;
  i32 place = places[blockIdx.x] + block_exclusive_scan(own.count(), total);
  if (word >= d.M * words) return;
  const i64 in_mask = word % words;
  const i32 first = static_cast<i32>(in_mask / d.strips * d.H + in_mask % d.strips * kWarp);
  const auto write = [&](i32 end) {
    if (place < room) ends[place] = end;
    ++place;
  };
  for (u32 edges = own.edges; edges != 0; edges &= edges - 1) write(first + __ffsll(edges) - 1);
  if (own.last) write(static_cast<i32>(d.H * d.W));
  if (in_mask == words - 1) offsets[word / words + 1] = place;
}

const u8* data_of(const Tensor& kept) {
  return kept.defined() ? kept.device_data<u8>() : nullptr;
}

void mask_runs_cuda(const Tensor& masks, const Tensor& kept, const Tensor& row_index, const Tensor& row_weight,
                    const Tensor& column_index, const Tensor& column_weight, double threshold, i64 room,
                    Tensor& offsets, Tensor& ends) {
  const Device device = masks.device();
  const i64 M = masks.dim(0), H = row_index.dim(0), W = column_index.dim(0), strips = ceil_div(H, kWarp);
  const Dims d{M, masks.dim(1), masks.dim(2), H, W, strips, W * strips};
  Tensor probabilities = Tensor::empty({M, d.w, d.h}, DType::kF32, device);
  launch<probabilities_kernel>(
      {.grid = static_cast<unsigned>(M * ceil_div(d.h, kTile) * ceil_div(d.w, kTile)), .block = kTile * kTileRows}, d,
      masks.device_data<float>(), data_of(kept), probabilities.device_data<float>());
  Tensor bitmap = Tensor::empty({M, W, strips}, DType::kI32, device);
  u32* const bits = static_cast<u32*>(bitmap.raw());
  const i64 units = M * strips * ceil_div(W, kColumns);
  launch<threshold_kernel>(
      {.grid = static_cast<unsigned>(ceil_div(units, kThreads / kWarp)), .block = kThreads}, d, data_of(kept),
      probabilities.device_data<float>(), static_cast<const Indices4*>(row_index.raw()),
      static_cast<const Weights4*>(row_weight.raw()), static_cast<const Indices4*>(column_index.raw()),
      static_cast<const Weights4*>(column_weight.raw()), static_cast<float>(threshold), bits);

  const i64 tiles = ceil_div(M * d.words, kThreads);
  const Launch over_tiles{.grid = static_cast<unsigned>(tiles), .block = kThreads};
  Tensor places = Tensor::zeros({tiles}, DType::kI32, device);
  launch<count_kernel>(over_tiles, d, data_of(kept), bits, places.device_data<i32>());
  exclusive_scan(places);
  ends = Tensor::empty({room}, DType::kI32, device);
  launch<write_ends_kernel>(over_tiles, d, data_of(kept), bits, places.device_data<i32>(), room,
                            offsets.device_data<i64>(), ends.device_data<i32>());
}

// One block per mask.
__global__ void maskness_kernel(i64 n, const float* logits, const u8* kept, float threshold, float* y) {
  const i64 mask = blockIdx.x;
  const bool asked = wanted(kept, mask);
  double sum = 0;
  i32 count = 0;
  for (i64 i = threadIdx.x; asked && i < n; i += kThreads) {
    const float p = scalar::Libm::sigmoid(logits[mask * n + i]);
    if (p > threshold) sum += static_cast<double>(p), ++count;
  }
  sum = block_sum(sum);
  count = block_sum(count);
  if (threadIdx.x == 0) y[mask] = static_cast<float>(sum / (count + 1e-6));
}

void maskness_cuda(const Tensor& masks, const Tensor& kept, double threshold, Tensor& y) {
  launch<maskness_kernel>({.grid = static_cast<unsigned>(masks.dim(0)), .block = kThreads}, masks.dim(1) * masks.dim(2),
                          masks.device_data<float>(), data_of(kept), static_cast<float>(threshold),
                          y.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::mask_runs_kernels.add(kDevice, mask_runs_cuda),
    ops::maskness_kernels.add(kDevice, maskness_cuda),
};

}  // namespace

}  // namespace tessera
