// Products of patches and weights on tensor cores: what index convolution, deformable convolution and the convolution
// of our own are, forward and towards their inputs.
//
//   C [rows, columns] = sum over t and i of A[row, t, i] w[column, t, i]      w [columns, positions, width]
//
// The depth is one line of pieces of 16 bytes, position by position, so that narrow rows leave nothing of a step empty
// but its end. Block x: tile of rows, block y: tile of columns.
#pragma once

#include "ops/cuda/tile_operands.h"

namespace tessera::cuda {

struct PatchDims {
  int rows, columns, positions, width;
};

// patch(row, t, i): A from value i on, as the operand wants it: where it lies (CopiedRows), null for zeros, or its
// values (MadeRows). put(row, column, value) stores what is inside C.
template <class Tile, template <class, int, class> class Operand, class Patch, class Put>
__device__ void patch_product(const PatchDims& d, const typename Tile::T* weight, const Patch& patch, const Put& put) {
  const int per_position = d.width / Tile::kPiece, depth = d.positions * per_position;
  const int first_row = static_cast<int>(blockIdx.x) * Tile::kRows,
            first_column = static_cast<int>(blockIdx.y) * Tile::kColumns;
  // Beyond the last row and the last column they are read again; those sums are not stored.
  const auto patches = [&](int piece) {
    const int t = piece / per_position, i = piece % per_position * Tile::kPiece;
    return [&, piece, t, i](int index) {
      return piece < depth ? patch(std::min(first_row + index, d.rows - 1), t, i) : decltype(patch(0, 0, 0)){};
    };
  };
  const auto weights = [&](int piece) {
    return [&, piece](int index) {
      const int column = std::min(first_column + index, d.columns - 1);
      return piece < depth ? weight + (column * depth + piece) * Tile::kPiece : nullptr;
    };
  };
  Tile product;
  product.run((depth + Tile::kPieces - 1) / Tile::kPieces, Operand<Tile, Tile::kRows, decltype(patches)>(patches),
              CopiedRows<Tile, Tile::kColumns, decltype(weights)>(weights));
  product.each([&](int index, int at, float value) {
    const int row = first_row + index, column = first_column + at;
    if (row < d.rows && column < d.columns) put(row, column, value);
  });
}

}  // namespace tessera::cuda
