// How operands of a TensorTile (ops/cuda/tensor_tile.h) get to shared memory, how they lie there, and how a warp reads
// fragments of them.
//
//   CopiedRows   neighbours along k are neighbours in memory: 128 bytes of each row of A (column of B) are copied
//   MadeRows     the same, computed by the threads, in registers while the step before is multiplied
//   CopiedSteps  neighbouring rows of A (columns of B) are neighbours in memory: kSpan values of each k are copied
//
// Eight threads copy 128 bytes side by side. Pieces of 16 bytes change places within their row, so that those that a
// warp reads at once lie in different banks.
#pragma once

#include "ops/cuda/channels.h"
#include "ops/cuda/tensor_tile.h"

namespace tessera::cuda {

// [row][k]: rows of kPieces pieces. A row of 32 bytes of a fragment is two of them; ldmatrix reads 8 rows of one.
template <class Tile>
struct InRows {
  static constexpr int kPieces = Tile::kPieces, kApart = Tile::kThreads / kPieces;  // a thread's rows

  // Where a piece lies; of rows a multiple of kPieces apart it is the same place in each.
  static constexpr int place(int row, int piece) { return row * kPieces + (piece ^ row % kPieces); }
  __device__ static int own_row() { return static_cast<int>(threadIdx.x) / kPieces; }
  __device__ static int own_piece() { return static_cast<int>(threadIdx.x) % kPieces; }

  // 16 rows of A: the matrices of the upper and of the lower 8, then the same of the slice's other half.
  __device__ static void load_rows(const CopyPiece* stage, int row, int slice, u32 (&values)[4]) {
    load_matrices(values, stage + row * kPieces + place(lane() % 16, 2 * slice + lane() / 16));
  }
  // 16 columns of B: of the first 8 both halves of the slice, then of the others.
  __device__ static void load_columns(const CopyPiece* stage, int column, int slice, u32 (&values)[4]) {
    load_matrices(values, stage + column * kPieces + place(lane() / 16 * 8 + lane() % 8, 2 * slice + lane() / 8 % 2));
  }
};

// source(piece): a function of the row's index that returns where this piece of it lies, or null for zeros. Pieces are
// counted along the whole depth.
template <class Tile, int kSpan, class Source>
struct CopiedRows : InRows<Tile> {
  using Rows = InRows<Tile>;
  const Source& source;
  __device__ explicit CopiedRows(const Source& of) : source(of) {}
  __device__ void begin(int step, CopyPiece* stage) {
    const auto row_piece = source(step * Rows::kPieces + Rows::own_piece());
    CopyPiece* const to = stage + Rows::place(Rows::own_row(), Rows::own_piece());
#pragma unroll
    for (int i = 0; i < kSpan; i += Rows::kApart) copy_async(to + i * Rows::kPieces, row_piece(Rows::own_row() + i));
  }
  __device__ void finish(CopyPiece*) {}
};

// source(piece): a function of the row's index that returns the Channels<kPiece> of this piece of it.
template <class Tile, int kSpan, class Source>
struct MadeRows : InRows<Tile> {
  using Rows = InRows<Tile>;
  const Source& source;
  CopyPiece made[kSpan / Rows::kApart];
  __device__ static CopyPiece stored(const Channels<Tile::kPiece>& values) {
    struct alignas(kCopyBytes) Stored {
      typename Tile::T values[Tile::kPiece];
    } piece;
    values.store(piece.values);
    return std::bit_cast<CopyPiece>(piece);
  }
  __device__ explicit MadeRows(const Source& of) : source(of) {}
  __device__ void begin(int step, CopyPiece*) {
    const auto row_piece = source(step * Rows::kPieces + Rows::own_piece());
#pragma unroll
    for (int i = 0; i < kSpan; i += Rows::kApart)
      made[i / Rows::kApart] = stored(row_piece(Rows::own_row() + i));
  }
  __device__ void finish(CopyPiece* stage) {
    CopyPiece* const to = stage + Rows::place(Rows::own_row(), Rows::own_piece());
#pragma unroll
    for (int i = 0; i < kSpan; i += Rows::kApart) to[i * Rows::kPieces] = made[i / Rows::kApart];
  }
};

// [k][row]: source(k), k counted along the whole depth: a function of the index of a row (column) that returns where
// its value and those after it lie, or null for zeros.
template <class Tile, int kSpan, class Source>
struct CopiedSteps {
  static constexpr bool kTf32 = std::is_same_v<typename Tile::T, float>;
  static constexpr int kPiece = Tile::kPiece, kAcross = kSpan / kPiece, kApart = Tile::kThreads / kAcross;
  static_assert(kAcross >= 8);
  const Source& source;
  __device__ explicit CopiedSteps(const Source& of) : source(of) {}

  // ldmatrix reads 8 k of one piece; loads of TF32 values 4 k of two neighbouring ones.
  static constexpr int turn(int k) { return kTf32 ? 2 * (k % 4) : k % 8; }
  static constexpr int place(int k, int piece) { return k * kAcross + (piece ^ turn(k)); }

  __device__ void begin(int step, CopyPiece* stage) {
    const int own_k = static_cast<int>(threadIdx.x) / kAcross, piece = static_cast<int>(threadIdx.x) % kAcross;
#pragma unroll
    for (int k = own_k; k < own_k + Tile::kDepth; k += kApart)
      copy_async(stage + place(k, piece), source(step * Tile::kDepth + k)(piece * kPiece));
  }
  __device__ void finish(CopyPiece*) {}

  __device__ static u32 value_at(const CopyPiece* stage, int k, int index) {
    return stage[place(k, index / kPiece)].words[index % kPiece];
  }
  __device__ static void load_rows(const CopyPiece* stage, int row, int slice, u32 (&values)[4]) {
    if constexpr (kTf32)
      for (int i = 0; i < 4; ++i)
        values[i] = value_at(stage, 8 * slice + lane() % 4 + i / 2 * 4, row + lane() / 4 + i % 2 * 8);
    else
      load_matrices_transposed(values,
                               stage + place(16 * slice + lane() / 16 * 8 + lane() % 8, row / kPiece + lane() / 8 % 2));
  }
  __device__ static void load_columns(const CopyPiece* stage, int column, int slice, u32 (&values)[4]) {
    if constexpr (kTf32)
      for (int i = 0; i < 4; ++i)
        values[i] = value_at(stage, 8 * slice + lane() % 4 + i % 2 * 4, column + lane() / 4 + i / 2 * 8);
    else
      load_matrices_transposed(
          values, stage + place(16 * slice + lane() / 8 % 2 * 8 + lane() % 8, column / kPiece + lane() / 16));
  }
};

}  // namespace tessera::cuda
