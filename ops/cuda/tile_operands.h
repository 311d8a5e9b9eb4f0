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

  // Rows 16 i ... of the warp's, which begin at `first`, as A: the matrices of the upper and of the lower 8, then the
  // same of the slice's other half.
  __device__ static void load_rows(const CopyPiece* stage, int first, int i, int slice, u32 (&values)[4]) {
    load_matrices(values, stage + (first + 16 * i) * kPieces + place(lane() % 16, 2 * slice + lane() / 16));
  }
  // Columns 16 j ... as B: of the first 8 both halves of the slice, then of the others.
  __device__ static void load_columns(const CopyPiece* stage, int first, int j, int slice, u32 (&values)[4]) {
    load_matrices(values,
                  stage + (first + 16 * j) * kPieces + place(lane() / 16 * 8 + lane() % 8, 2 * slice + lane() / 8 % 2));
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
    for (int i = 0; i < kSpan; i += Rows::kApart) made[i / Rows::kApart] = stored(row_piece(Rows::own_row() + i));
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

  // TF32: the lane's value of k = 4 fours + l % 4, in row 4 pieces + l / 4 of the 32 that begin at `from`. What the
  // lane adds to a place stays the same; pieces, an even number below 8, only turns it.
  __device__ static u32 value_at(const CopyPiece* from, int fours, int pieces) {
    const int own = place(lane() % 4, lane() / 16) * 4 + lane() / 4 % 4;
    return reinterpret_cast<const u32*>(from + fours * 4 * kAcross)[own ^ pieces * 4];
  }
  // As InRows.
  __device__ static void load_rows(const CopyPiece* stage, int first, int i, int slice, u32 (&values)[4]) {
    if constexpr (kTf32)
      for (int v = 0; v < 4; ++v)
        values[v] = value_at(stage + first / kPiece + i / 2 * 8, 2 * slice + v / 2, i % 2 * 4 + v % 2 * 2);
    else
      load_matrices_transposed(
          values, stage + place(16 * slice + lane() / 16 * 8 + lane() % 8, (first + 16 * i) / kPiece + lane() / 8 % 2));
  }
  __device__ static void load_columns(const CopyPiece* stage, int first, int j, int slice, u32 (&values)[4]) {
    if constexpr (kTf32)
      for (int v = 0; v < 4; ++v)
        values[v] = value_at(stage + first / kPiece + j / 2 * 8, 2 * slice + v % 2, j % 2 * 4 + v / 2 * 2);
    else
      load_matrices_transposed(
          values, stage + place(16 * slice + lane() / 8 % 2 * 8 + lane() % 8, (first + 16 * j) / kPiece + lane() / 16));
  }
};

}  // namespace tessera::cuda
