// Run lengths and scores of masks in CUDA; ops/mask_runs.h states the formulas.
//
// probabilities_kernel   turns the chosen maps column by column, the order in which runs are counted: [K, w, h]. Tiles
//                        of 32 x 32 go through shared memory, so that both sides are accessed in whole lines.
// threshold_kernel       a warp has 32 rows of the picture and walks along columns: one ballot is 32 pixels in the
//                        order of the runs, a word of a bitmap. The sums over rows that a column needs are mostly those
//                        of the column before it (an enlarged picture repeats its columns), so they stay in registers.
// count_kernel           edges per tile of words, and one for the end of each mask; the tiles' places by a scan.
// write_ends_kernel      the same again: every run's end goes to its place.
// lengths_kernel         differences of neighbouring ends.
//
// Why a bitmap and two passes over it: an edge is found by comparing with the pixel before, which another warp, block
// or column made, and its place is known when all edges before it have been counted. The bitmap is 1 / 32 of the
// pixels' work to read again, thresholding is not; and the host learns the number of runs before they are written, so
// that memory for them is exact. Columns begin with a word of their own: rows beyond the last repeat it, which makes no
// edge.
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
  i64 K, M, h, w;     // chosen maps, all maps, and their size
  i64 H, W;           // the picture
  i64 strips, words;  // words of a column, and of a mask
};

__device__ bool within(i64 index, i64 count) {
  return index >= 0 && index < count;
}

__global__ void probabilities_kernel(Dims d, const float* masks, const i64* queries, float* probabilities) {
  struct Tile {
    float values[kTile][kTile + 1];
  };
  auto& [values] = shared_memory<Tile>();
  const int column = static_cast<int>(threadIdx.x) % kTile, row = static_cast<int>(threadIdx.x) / kTile;
  const i64 across = ceil_div(d.w, kTile), down = ceil_div(d.h, kTile), block = blockIdx.x;
  const i64 j0 = block % across * kTile, i0 = block / across % down * kTile, k = block / across / down;
  const i64 query = queries[k];
  const bool known = within(query, d.M);
  for (int r = row; r < kTile; r += kTileRows)
    if (i0 + r < d.h && j0 + column < d.w)
      values[r][column] = known ? scalar::Libm::sigmoid(masks[(query * d.h + i0 + r) * d.w + j0 + column]) : 0.0f;
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

__global__ void threshold_kernel(Dims d, const float* probabilities, const Indices4* row_index,
                                 const Weights4* row_weight, const Indices4* column_index,
                                 const Weights4* column_weight, float threshold, u32* bits) {
  const i64 unit = static_cast<i64>(blockIdx.x) * (kThreads / kWarp) + warp(), chunks = ceil_div(d.W, kColumns);
  const i64 strip = unit % d.strips, chunk = unit / d.strips % chunks, k = unit / d.strips / chunks;
  if (k >= d.K) return;  // the whole warp
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
  __device__ static Ends of(const u32* bits, i64 word, i64 n, i64 words) {
    return word < n ? Ends{edges_of(bits, word, words), word % words == words - 1} : Ends{};
  }
};

__global__ void count_kernel(i64 n, i64 words, const u32* bits, i32* counts) {
  const i64 word = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x;
  const i32 count = block_sum(Ends::of(bits, word, n, words).count());
  if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// places: of each tile's first end.
__global__ void write_ends_kernel(Dims d, const u32* bits, const i32* places, i64* offsets, i32* ends) {
  const i64 word = static_cast<i64>(blockIdx.x) * kThreads + threadIdx.x, words = d.words, n = d.K * words;
  const Ends own = Ends::of(bits, word, n, words);
  i32 total = 0;
  i32 place = places[blockIdx.x] + block_exclusive_scan(own.count(), total);
  if (word >= n) return;
  const i64 in_mask = word % words;
  const i32 first = static_cast<i32>(in_mask / d.strips * d.H + in_mask % d.strips * kWarp);
  for (u32 edges = own.edges; edges != 0; edges &= edges - 1) ends[place++] = first + __ffsll(edges) - 1;
  if (!own.last) return;
  ends[place++] = static_cast<i32>(d.H * d.W);
  offsets[word / words + 1] = place;
}

// A mask ends with its number of pixels, which is 0 before the next one.
__global__ void lengths_kernel(i64 n, i32 pixels, const i32* ends, i32* runs) {
  for (const i64 i : indices(n)) runs[i] = ends[i] - (i > 0 ? ends[i - 1] % pixels : 0);
}

void mask_runs_cuda(const Tensor& masks, const Tensor& queries, const Tensor& row_index, const Tensor& row_weight,
                    const Tensor& column_index, const Tensor& column_weight, double threshold, Tensor& offsets,
                    Tensor& runs) {
  const Device device = masks.device();
  const i64 K = queries.dim(0), H = row_index.dim(0), W = column_index.dim(0), strips = ceil_div(H, kWarp);
  const Dims d{K, masks.dim(0), masks.dim(1), masks.dim(2), H, W, strips, W * strips};
  Tensor probabilities = Tensor::empty({K, d.w, d.h}, DType::kF32, device);
  launch<probabilities_kernel>(
      {.grid = static_cast<unsigned>(K * ceil_div(d.h, kTile) * ceil_div(d.w, kTile)), .block = kTile * kTileRows}, d,
      masks.device_data<float>(), queries.device_data<i64>(), probabilities.device_data<float>());
  Tensor bitmap = Tensor::empty({K, W, strips}, DType::kI32, device);
  u32* const bits = static_cast<u32*>(bitmap.raw());
  const i64 units = K * strips * ceil_div(W, kColumns);
  launch<threshold_kernel>({.grid = static_cast<unsigned>(ceil_div(units, kThreads / kWarp)), .block = kThreads}, d,
                           probabilities.device_data<float>(), static_cast<const Indices4*>(row_index.raw()),
                           static_cast<const Weights4*>(row_weight.raw()),
                           static_cast<const Indices4*>(column_index.raw()),
                           static_cast<const Weights4*>(column_weight.raw()), static_cast<float>(threshold), bits);

  const i64 n = K * d.words, tiles = ceil_div(n, kThreads);
  const Launch over_tiles{.grid = static_cast<unsigned>(tiles), .block = kThreads};
  Tensor places = Tensor::zeros({tiles + 1}, DType::kI32, device);
  launch<count_kernel>(over_tiles, n, d.words, bits, places.device_data<i32>());
  exclusive_scan(places);
  const i64 T = static_cast<i64>(places.rows(tiles, tiles + 1).item());
  Tensor ends = Tensor::empty({T}, DType::kI32, device);
  launch<write_ends_kernel>(over_tiles, d, bits, places.device_data<i32>(), offsets.device_data<i64>(),
                            ends.device_data<i32>());
  runs = Tensor::empty({T}, DType::kI32, device);
  launch<lengths_kernel>(over(T), T, static_cast<i32>(H * W), ends.device_data<i32>(), runs.device_data<i32>());
}

// One block per mask.
__global__ void maskness_kernel(i64 masks, i64 n, const float* logits, const i64* queries, float threshold, float* y) {
  const i64 query = queries[blockIdx.x];
  const bool known = within(query, masks);
  double sum = 0;
  i32 count = 0;
  for (i64 i = threadIdx.x; known && i < n; i += kThreads) {
    const float p = scalar::Libm::sigmoid(logits[query * n + i]);
    if (p > threshold) sum += static_cast<double>(p), ++count;
  }
  sum = block_sum(sum);
  count = block_sum(count);
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<float>(sum / (count + 1e-6));
}

void maskness_cuda(const Tensor& masks, const Tensor& queries, double threshold, Tensor& y) {
  launch<maskness_kernel>({.grid = static_cast<unsigned>(queries.dim(0)), .block = kThreads}, masks.dim(0),
                          masks.dim(1) * masks.dim(2), masks.device_data<float>(), queries.device_data<i64>(),
                          static_cast<float>(threshold), y.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::mask_runs_kernels.add(kDevice, mask_runs_cuda),
    ops::maskness_kernels.add(kDevice, maskness_cuda),
};

}  // namespace

}  // namespace tessera
