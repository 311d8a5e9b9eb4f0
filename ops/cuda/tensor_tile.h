// A tile of a matrix product on tensor cores (tensor/cuda/tensor_core.h) whose operands lie nowhere as matrices: each
// block gathers what it needs of them, in pieces of 16 bytes.
//
//   C [kRows, kColumns] = sum over k of A[row, k] B[k, column],   kDepth values of k to a step
//
// T = float: products in TF32; T = BFloat16: exact products. Sums are f32. 256 threads; a warp has kRowTiles x 4
// fragments of 16 x 8 of C. While a step is computed from shared memory the next one is copied there: two stages, one
// barrier per step. What is only gathered never passes through registers on its way.
//
// How an operand gets to shared memory and lies there is a struct of its own (ops/cuda/tile_operands.h); products of
// patches and weights, the commonest, are in ops/cuda/patch_product.h. ops/cuda/tile_product.h is the product in f32
// and of any width.
//
// Per 32 bytes of depth a warp of the tile 128 x 128 makes 16 products of fragments and reads 3 KB of shared memory.
#pragma once

#include "ops/cuda/storage.h"
#include "ops/precision.h"
#include "tensor/cuda/tensor_core.h"

namespace tessera::cuda {

template <class T_, int kColumns_>
struct TensorTile {
  using T = T_;
  static constexpr int kRows = 128, kColumns = kColumns_, kThreads = 256, kWarps = kThreads / kWarp;
  static constexpr int kPiece = kCopyBytes / sizeof(T);         // values
  static constexpr int kPieces = 8, kDepth = kPieces * kPiece;  // of a step, per row of A and column of B
  static constexpr int kSlices = kPieces / 2;                   // products of fragments along a step
  static constexpr int kWarpColumns = 32, kAcross = kColumns / kWarpColumns, kWarpRows = kRows / (kWarps / kAcross);
  static constexpr int kRowTiles = kWarpRows / 16, kColumnTiles = kWarpColumns / 8;

  struct Stage {
    CopyPiece a[kRows * kPieces], b[kColumns * kPieces];
  };

  static constexpr size_t kShared = 2 * sizeof(Stage);  // dynamic

  float sum[kRowTiles][kColumnTiles][4];

  __device__ static int first_row() { return warp() / kAcross * kWarpRows; }  // of the warp
  __device__ static int first_column() { return warp() % kAcross * kWarpColumns; }

  __device__ static void round(u32 (&values)[4]) {
    if constexpr (std::is_same_v<T, float>)
      for (u32& value : values) value = to_tf32(value);
  }

  template <class A, class B>
  __device__ void add_step(const Stage& stage) {
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      u32 b[kColumnTiles / 2][4];
#pragma unroll
      for (int j = 0; j < kColumnTiles / 2; ++j) {
        B::load_columns(stage.b, first_column(), j, slice, b[j]);
        round(b[j]);
      }
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        u32 a[4];
        A::load_rows(stage.a, first_row(), i, slice, a);
        round(a);
#pragma unroll
        for (int j = 0; j < kColumnTiles; ++j) mma<T>(sum[i][j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

  // All threads of the block take part. An operand's begin(step, stage) starts to fetch a step, its finish(stage)
  // stores what did not go there by itself.
  template <class A, class B>
  __device__ void run(int steps, A a, B b) {
    Stage* const stages = dynamic_shared<Stage>();
#pragma unroll
    for (auto& row : sum)
#pragma unroll
      for (auto& fragment : row)
#pragma unroll
        for (float& value : fragment) value = 0;
    const auto begin = [&](int step) {
      a.begin(step, stages[step % 2].a);
      b.begin(step, stages[step % 2].b);
    };
    if (steps > 0) begin(0);
    for (int step = 0; step < steps; ++step) {
      a.finish(stages[step % 2].a);
      b.finish(stages[step % 2].b);
      wait_for_copies();
      __syncthreads();
      if (step + 1 < steps) begin(step + 1);
      add_step<A, B>(stages[step % 2]);
    }
  }

  // visit(row, column, value) for the thread's values of C.
  template <class Visit>
  __device__ void each(const Visit& visit) const {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j)
#pragma unroll
        for (int at = 0; at < 4; ++at)
          visit(first_row() + 16 * i + sum_row(lane(), at), first_column() + 8 * j + sum_column(lane(), at),
                sum[i][j][at]);
  }

  // batch: products of their own, along z.
  static Launch launch_of(i64 rows, i64 columns, i64 batch = 1) {
    return {.grid = {static_cast<unsigned>(ceil_div(rows, kRows)), static_cast<unsigned>(ceil_div(columns, kColumns)),
                     static_cast<unsigned>(batch)},
            .block = kThreads,
            .shared = kShared};
  }
};

// Whether products with rows of `width` values are for tensor cores: bf16 are, f32 where TF32 is precise enough. Rows
// and addresses must come in pieces of 16 bytes, and `values`, the size of the largest operand, fit an int.
template <class T, class... Rows>
bool on_tensor_cores(i64 width, i64 values, const Rows*... rows) {
  return (!std::is_same_v<T, float> || precision() != Precision::kHighest) && width > 0 &&
         width * i64{sizeof(T)} % kCopyBytes == 0 && values <= std::numeric_limits<int>::max() &&
         (... && (reinterpret_cast<std::uintptr_t>(rows) % kCopyBytes == 0));
}

// f.operator()<Tile>() for the narrowest tile that has so many columns, or else the widest.
template <class T, int kNarrowest = 32, class F>
void dispatch_tile(i64 columns, const F& f) {
  if constexpr (kNarrowest == 32)
    if (columns <= 32) return f.template operator()<TensorTile<T, 32>>();
  if (columns <= 64) return f.template operator()<TensorTile<T, 64>>();
  f.template operator()<TensorTile<T, 128>>();
}

}  // namespace tessera::cuda
