// A tile of a matrix product whose operands lie nowhere as matrices: each block gathers what it needs of them.
//
//   C [kRows, kColumns] = sum over k of A[row, k] B[k, column],   kDepth values of k to a step
//
// 256 threads; a thread has 8 x 4 of C in registers. While a step is computed from shared memory the next one is on its
// way there through registers: two buffers, one barrier per step. Of every 3 reads of 16 bytes a thread makes 32
// multiply-adds. Operands are f32 or bf16 in memory, f32 from there on, whatever ops/precision.h says.
//
// An operand is a struct with a `span` (kRows or kColumns) and how its threads share a step: AlongDepth where
// neighbouring k are neighbours in memory, AlongSpan where neighbouring rows of A (columns of B) are.
#pragma once

#include "ops/cuda/channels.h"

namespace tessera::cuda {

struct TileProduct {
  static constexpr int kRows = 128, kColumns = 64, kDepth = 16, kThreads = 256;
  static constexpr int kThreadRows = 8, kThreadColumns = 4, kAcross = kColumns / kThreadColumns;

  struct alignas(16) Shared {
    float a[2][kDepth][kRows], b[2][kDepth][kColumns];
  };

  // Values [begin, begin + kCount) of a row of `limit` values; zeros beyond it and for a null row.
  template <int kWidth, class T, int kCount>
  __device__ static void read(const T* row, i64 begin, i64 limit, float (&values)[kCount]) {
    for (int i = 0; i < kCount; i += kWidth) {
      const auto some = row && begin + i < limit ? Channels<kWidth>::load(row + begin + i) : Channels<kWidth>::zero();
      for (int j = 0; j < kWidth; ++j) values[i + j] = some.value[j];
    }
  }

  template <int kCount>
  __device__ static void zero(float (&values)[kCount]) {
    for (float& value : values) value = 0;
  }

  // Source: source(step, index, k, values) fetches k, k + 1, ... of the step, of the index-th row of A or column of B.
  template <int kSpan, class Source>
  struct AlongDepth {
    static constexpr int kCount = kSpan * kDepth / kThreads;
    const Source& source;
    __device__ void fetch(i64 step, float (&values)[kCount]) const {
      source(step, static_cast<int>(threadIdx.x) % kSpan, static_cast<int>(threadIdx.x) / kSpan * kCount, values);
    }
    __device__ void store(const float (&values)[kCount], float (*to)[kSpan]) const {
      const int index = static_cast<int>(threadIdx.x) % kSpan, k = static_cast<int>(threadIdx.x) / kSpan * kCount;
      for (int i = 0; i < kCount; ++i) to[k + i][index] = values[i];
    }
  };

  // Source: source(step, k, index, values) fetches the index-th and following rows of A or columns of B.
  template <int kSpan, class Source>
  struct AlongSpan {
    static constexpr int kCount = kSpan * kDepth / kThreads, kShare = kSpan / kCount;
    const Source& source;
    __device__ void fetch(i64 step, float (&values)[kCount]) const {
      source(step, static_cast<int>(threadIdx.x) / kShare, static_cast<int>(threadIdx.x) % kShare * kCount, values);
    }
    __device__ void store(const float (&values)[kCount], float (*to)[kSpan]) const {
      float* const at = to[threadIdx.x / kShare] + threadIdx.x % kShare * kCount;
      for (int i = 0; i < kCount; ++i) at[i] = values[i];
    }
  };

  float sum[kThreadRows][kThreadColumns];

  __device__ static int first_row() { return static_cast<int>(threadIdx.x) / kAcross * kThreadRows; }
  __device__ static int first_column() { return static_cast<int>(threadIdx.x) % kAcross * kThreadColumns; }

  // All threads of the block take part.
  template <class A, class B>
  __device__ void run(i64 steps, const A& a, const B& b) {
    Shared& shared = shared_memory<Shared>();
    float next_a[A::kCount], next_b[B::kCount];
    for (auto& row : sum)
      for (float& value : row) value = 0;
    const auto fetch = [&](i64 step) {
      a.fetch(step, next_a);
      b.fetch(step, next_b);
    };
    const auto store = [&](i64 step) {
      a.store(next_a, shared.a[step % 2]);
      b.store(next_b, shared.b[step % 2]);
    };
    if (steps > 0) {
      fetch(0);
      store(0);
    }
    __syncthreads();
    for (i64 step = 0; step < steps; ++step) {
      if (step + 1 < steps) fetch(step + 1);
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        float row[kThreadRows], column[kThreadColumns];
        read<4>(shared.a[step % 2][k], first_row(), kRows, row);
        read<4>(shared.b[step % 2][k], first_column(), kColumns, column);
#pragma unroll
        for (int i = 0; i < kThreadRows; ++i)
#pragma unroll
          for (int j = 0; j < kThreadColumns; ++j) sum[i][j] += row[i] * column[j];
      }
      if (step + 1 < steps) store(step + 1);
      __syncthreads();
    }
  }
};

// The operands, with the source's type found by the compiler.
template <class Source>
__device__ TileProduct::AlongDepth<TileProduct::kRows, Source> rows_along_depth(const Source& source) {
  return {source};
}
template <class Source>
__device__ TileProduct::AlongDepth<TileProduct::kColumns, Source> columns_along_depth(const Source& source) {
  return {source};
}
template <class Source>
__device__ TileProduct::AlongSpan<TileProduct::kRows, Source> rows_along_span(const Source& source) {
  return {source};
}
template <class Source>
__device__ TileProduct::AlongSpan<TileProduct::kColumns, Source> columns_along_span(const Source& source) {
  return {source};
}

}  // namespace tessera::cuda
