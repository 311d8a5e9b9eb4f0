// The transformed weights of Winograd's convolution as they are packed: what winograd_pack.cpp writes and winograd.cpp
// reads.
#pragma once

#include <algorithm>

#include "ops/cpu/gemm.h"
#include "ops/cpu/round.h"
#include "ops/cpu/simd/winograd.h"

namespace tessera::cpu {

// Where the panels of U[p] for channels from k on, output channels from `column` on lie in a group's part of the form:
// [column block][p][kDepth rows][panel][depth][columns], the columns of a block padded to whole vectors.
template <class T>
struct WinogradForm {
  static constexpr i64 kColumns = 64;  // output channels that are multiplied and transformed back together
  // M is summed over this many channels at a time: the tails of long sums are where F(4x4) would lose its accuracy.
  static constexpr i64 kDepth = 64;

  i64 depth, columns;  // Ci and Co of a group
  i64 lanes = simd::gemm_kernels.get<T>().lanes, panel = simd::gemm_kernels.get<T>().panel_columns;

  i64 block_width() const { return round_up(kColumns, panel); }
  i64 padded(i64 width) const { return round_up(width, lanes); }
  i64 size() const { return simd::kWinogradProducts * depth * padded(columns); }
  i64 offset(i64 column, i64 p, i64 k) const {
    const i64 width = padded(std::min(block_width(), columns - column));
    return simd::kWinogradProducts * depth * column + (p * depth + k) * width;
  }
};

}  // namespace tessera::cpu
