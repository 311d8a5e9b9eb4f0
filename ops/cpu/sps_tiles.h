// Winograd's F(2x2, 3x3) for the index convolution: four active cells that lie d apart in both directions share the
// inputs of a 4x4 tile, and 16 products per pair of channels do the work of 36 (ops/cpu/simd/sps_tiles.h).
//
// The tiles are found in the ids of the positions alone. With d = 1 the four children of one parent always make one;
// with a larger dilation cells are taken greedily, four or three at a time. What is left goes the plain way.
//
// NaN reaches exactly the outputs whose windows see it, as in the plain way; an infinity may become NaN.
#pragma once

#include <vector>

#include "ops/cpu/simd/sps_tiles.h"
#include "ops/cpu/sps_features.h"

namespace tessera::cpu {

struct SpsTiles {
  struct Tile {
    i32 inputs[16];  // ids, row by row; the zero row where no output needs them
    i32 outputs[4];  // active rows: (0, 0), (d, 0), (0, d), (d, d); -1: none
  };
  std::vector<Tile> tiles;
  std::vector<i32> rest;  // active rows in no tile, ascending

  // ids i32 [N_A, 9]; zero_id is the zero row. Whether a tile pays depends on the widths of the features, and on how
  // many products its cells need without it (ops/cpu/sps_pairs.h).
  SpsTiles(const Tensor& ids, i64 zero_id, i64 Fi, i64 Fo);
};

// y [N_A, Fo], the rows of all tiles: their convolution, + bias, ReLU. weight [Fo, 9 Fi], bias may be null.
template <class T>
void run_tiles(const SpsTiles& tiles, const SpsFeatures<T>& features, const Tensor& weight, const T* bias, bool relu,
               Tensor& y);

// The part of the gradients that comes from the rows of all tiles of gy [N_A, Fo].
template <class T>
void add_tile_gradients(const SpsTiles& tiles, const SpsFeatures<T>& features, const Tensor& gy, const Tensor& weight,
                        const SpsGradientSums<T>& sums);

}  // namespace tessera::cpu
