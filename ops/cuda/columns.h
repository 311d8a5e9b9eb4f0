// Sums down the columns of [samples, rows, C] values, C innermost: what the gradients of a normalisation's weight, its
// moments and a depthwise convolution's weight gradient have in common.
//
// A block of 256 threads has up to 32 neighbouring pieces of kWidth channels and a chunk of rows; the threads of one
// piece take every (256 / lanes)-th row of the chunk, so a warp reads whole lines. The block joins its threads' sums in
// shared memory and writes them to parts [kSums, samples, C, chunks]; who needs the sums adds up the chunks, which lie
// side by side. The order depends on the shape alone. Memory limits it: everything is read once.
#pragma once

#include "ops/cuda/block_reduce.h"
#include "ops/cuda/channels.h"
#include "ops/cuda/divider.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

struct Columns {
  static constexpr int kThreads = 256;
  i64 samples, rows, C;
  i64 chunk, chunks;  // rows of a chunk, chunks of a sample
  int lanes, tiles;   // pieces of kWidth channels of a block, a power of two; blocks that have all channels
  int step;           // rows from one of a thread to its next
  Divider by_chunks, by_lanes;

  // Chunks are large enough to be worth their sums' way through memory, and many enough to fill a GPU.
  Columns(i64 samples_, i64 rows_, i64 C_, int width)
      : samples(samples_),
        rows(rows_),
        C(C_),
        chunk(std::max<i64>(128, ceil_div(rows, 1024))),
        chunks(ceil_div(rows, chunk)),
        lanes(static_cast<int>(std::bit_ceil(static_cast<u64>(std::clamp<i64>(C / width, 1, kWarp))))),
        tiles(static_cast<int>(ceil_div(C / width, lanes))),
        step(kThreads / lanes),
        by_chunks(chunks),
        by_lanes(lanes) {}

  Launch launch() const {
    return {.grid = {static_cast<unsigned>(samples * chunks), static_cast<unsigned>(tiles)}, .block = kThreads};
  }
  Tensor parts(int sums, Device device) const { return Tensor::empty({sums, samples, C, chunks}, DType::kF32, device); }
};

// Channels of one row in two maps.
template <int kWidth>
struct ChannelPair {
  Channels<kWidth> first, second;
};

// A thread's share: channels c ... c + kWidth - 1, none where c >= C, of the rows begin, begin + step, ... before end.
struct ColumnShare {
  i64 sample, chunk, c;
  i64 begin, end;
  int step;
};
template <int kWidth>
__device__ ColumnShare column_share(const Columns& d) {
  const u32 t = threadIdx.x;
  const i64 sample = blockIdx.x / d.by_chunks, chunk = blockIdx.x % d.by_chunks, first = chunk * d.chunk;
  return {.sample = sample,
          .chunk = chunk,
          .c = (static_cast<i64>(blockIdx.y) * d.lanes + t % d.by_lanes) * kWidth,
          .begin = first + t / d.by_lanes,
          .end = first + d.chunk < d.rows ? first + d.chunk : d.rows,
          .step = d.step};
}

template <int kWidth, int kSums>
struct ColumnScratch {
  float values[kSums][kWidth][Columns::kThreads];

  __device__ void put(const Channels<kWidth> (&sums)[kSums]) {
    for (int s = 0; s < kSums; ++s)
      for (int j = 0; j < kWidth; ++j) values[s][j][threadIdx.x] = sums[s].value[j];
  }
};

// store(j, lane, c) for each channel c of the block, dealt out to its threads; j and lane say where its values are.
template <int kWidth, class Store>
__device__ void for_each_column(const Columns& d, Store&& store) {
  for (u32 i = threadIdx.x; i < static_cast<u32>(kWidth * d.lanes); i += Columns::kThreads) {
    const int j = static_cast<int>(i / d.by_lanes), lane = static_cast<int>(i % d.by_lanes);
    const i64 c = (static_cast<i64>(blockIdx.y) * d.lanes + lane) * kWidth + j;
    if (c < d.C) store(j, lane, c);
  }
}

// The values of a thread's channels of a vector over the channels that may be absent.
template <int kWidth>
__device__ Channels<kWidth> load_or(const float* vector, i64 c, float absent) {
  Channels<kWidth> result;
  for (int j = 0; j < kWidth; ++j) result.value[j] = vector ? vector[c + j] : absent;
  return result;
}

// Term: what is summed.
//   static constexpr int kSums;
//   void begin(const Columns&, const ColumnShare&);  // what a thread keeps of its sample and channels
//   auto read(i64 row, i64 at) const;                // what memory has for a row; `at`: row C + c
//   void add(i64 row, auto what, Channels<kWidth> (&sums)[kSums]) const;
template <int kWidth, class Term>
__global__ void column_sums_kernel(Columns d, Term term, float* parts) {
  constexpr int kSums = Term::kSums;
  auto& scratch = shared_memory<ColumnScratch<kWidth, kSums>>();
  const ColumnShare share = column_share<kWidth>(d);
  Channels<kWidth> sums[kSums];
  for (auto& sum : sums) sum = Channels<kWidth>::zero();
  if (share.c < d.C) {
    term.begin(d, share);
    read_ahead<2>(
        share.begin, share.end, share.step, [&](i64 row) { return term.read(row, row * d.C + share.c); },
        [&](i64 row, const auto& what) { term.add(row, what, sums); });
  }
  scratch.put(sums);
  __syncthreads();
  for_each_column<kWidth>(d, [&](int j, int lane, i64 c) {
    for (int s = 0; s < kSums; ++s) {
      float sum = 0;
      for (int t = lane; t < Columns::kThreads; t += d.lanes) sum += scratch.values[s][j][t];
      parts[((s * d.samples + share.sample) * d.C + c) * d.chunks + share.chunk] = sum;
    }
  });
}

}  // namespace tessera::cuda
