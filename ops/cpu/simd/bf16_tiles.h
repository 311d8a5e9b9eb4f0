// Matrix products on a tile unit: f32 operands as sums of bfloat16 parts, f32 sums.
//
// The unit (Intel's AMX) holds tiles of 16 rows of 64 bytes and computes C += A B for C [16, 16] in f32, A [16, 32] and
// B [32, 16] in bfloat16. A number x is written as x = h + m + l, each part the nearest bfloat16 to what the parts
// before it leave over; h alone has 8 bits, h + m 16, and h + m + l all 24 of f32. The product of two numbers is then
// the sum of the products of their parts, of which the smallest are left out:
//
//   parts   products taken                      relative error of x y, at most about
//   1       hh                                  2^-7
//   2       hm hh mh                            2^-14
//   3       hl hm mm mh lh hh                   2^-22, and far less in a sum, where it does not add up as rounding does
//
// A tile of A is [16 rows][32 k], of B [16 pairs of k][16 columns][2]: the unit sums pairs. Tiles lie one after the
// other in the order in which they are used:
//
//   a   [pair of row tiles][step of 32 k][part][2 tiles]          b   [pair of column tiles][step][part][2 tiles]
//
// Levels: kAmx runs on the unit; the baseline level does the same sums in plain C++, so that everything around the unit
// is tested on every machine.
#pragma once

#include "ops/cpu/simd/simd_table.h"

namespace tessera::simd {

inline constexpr i64 kTileDepth = 32;                  // k of one step
inline constexpr i64 kTileBlock = 32;                  // rows, and columns, of two tiles side by side
inline constexpr i64 kTilePair = 2 * 16 * kTileDepth;  // bfloat16 numbers in two tiles

struct Bf16Block {
  i64 row_pairs, column_pairs, steps;
  const u16* a;
  const u16* b;
  i64 a_stride, b_stride;  // numbers from one pair of row (column) tiles to the next
  float* c;                // [row_pairs * kTileBlock, column_pairs * kTileBlock], rows c_pitch apart
  i64 c_pitch;
  bool accumulate;  // add to what c holds
};

struct Bf16Kernels {
  // c = a b, each number in `parts` parts.
  void (*multiply)(const Bf16Block& block, int parts);
  // Two row tiles of one step: rows[r][0 .. width) for r < kTileBlock, zeros where rows[r] is null and beyond `width`.
  // Returns whether every number is finite and its parts are.
  bool (*split_rows)(const float* const* rows, i64 width, int parts, u16* tiles);
  // Two column tiles of one step from x [kTileDepth, kTileBlock], rows `pitch` apart.
  bool (*split_columns)(const float* x, i64 pitch, int parts, u16* tiles);
  // to[j] = from[j] + bias[j] + residual[j], each of which may be null, then min(max(., 0), ceiling) if `relu`.
  void (*finish_row)(const float* from, const float* bias, const float* residual, bool relu, float ceiling, i64 count,
                     float* to);
};

inline constinit SimdTable<Bf16Kernels> bf16_kernels;

}  // namespace tessera::simd
