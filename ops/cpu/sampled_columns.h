// The matrix products of the deformable convolutions, with columns [rows, groups, positions, I] that are sampled block
// by block right before use; rows are output pixels or active cells.
//
//   forward   y = columns w^T        columns are blended into the scratch rows of one block of rows
//   weight    gw = gy^T columns      columns are blended straight into the packed panels
//   the rest  gcolumns = gy w        for a strip of rows, from which the gradients of samples and input are made
//
// Samples::blend(row, position, channel, count, out) writes the sampled values of channels [channel, channel + count).
#pragma once

#include <algorithm>

#include "ops/cpu/gemm.h"
#include "tensor/tensor.h"

namespace tessera::cpu {

template <class T, class Samples>
struct SampledColumns {
  const Samples& samples;
  i64 rows, groups, positions, I, O;  // I, O: channels of a group
  i64 depth() const { return positions * I; }

  void forward(const Tensor& weight, const Tensor& bias, Tensor& y) const {
    Gemm<T> gemm{.items = groups, .rows = rows, .columns = O, .run_depth = depth()};
    gemm.scratch_per_row = depth();
    gemm.a_rows = [this](i64 group, i64 row, i64 count, const T** table, T* scratch) {
      for (i64 i = 0; i < count; ++i) {
        table[i] = scratch + i * depth();
        for (i64 position = 0; position < positions; ++position)
          samples.blend(row + i, position, group * I, I, scratch + i * depth() + position * I);
      }
    };
    gemm.pack_b = pack_b_transposed(weight.data<T>(), depth(), O * depth());
    gemm.c_rows = matrix_rows_out(y.data<T>(), groups * O, O);
    gemm.bias = bias.defined() ? bias.data<T>() : nullptr;
    run(gemm);
  }

  void weight_gradient(const Tensor& gy, Tensor& gw) const {
    Gemm<T> gemm{.items = groups, .rows = O, .columns = depth(), .run_depth = rows};
    gemm.a_columns = gy.data<T>();
    gemm.a_step = groups * O;
    gemm.a_item_stride = O;
    gemm.keep_b = false;
    gemm.pack_b = [this](i64 group, i64 row, i64 count, i64 column, i64 columns, T* out, i64 stride) {
      for (i64 k = 0; k < count; ++k)
        for (i64 j = 0; j < columns;) {
          const i64 position = (column + j) / I, c = (column + j) % I, run = std::min(columns - j, I - c);
          samples.blend(row + k, position, group * I + c, run, out + k * stride + j);
          j += run;
        }
    };
    gemm.c_rows = matrix_rows_out(gw.data<T>(), depth(), O * depth());
    run(gemm);
  }

  // visit(first, count, gcolumns) for one strip of rows after the other.
  template <class Visit>
  void each_strip(const Tensor& gy, const Tensor& weight, const Visit& visit) const {
    constexpr i64 kStripBytes = 8 << 20;  // of gcolumns: stays in the last-level cache
    const i64 pitch = groups * depth();
    const i64 strip = std::clamp<i64>(kStripBytes / std::max<i64>(1, pitch * static_cast<i64>(sizeof(T))), 64,
                                      std::max<i64>(rows, 64));
    Tensor gcolumns = Tensor::empty({strip, pitch}, gy.dtype());
    for (i64 first = 0; first < rows; first += strip) {
      const i64 count = std::min(strip, rows - first);
      Gemm<T> gemm{.items = groups, .rows = count, .columns = depth(), .run_depth = O};
      gemm.a_rows = matrix_rows(gy.data<T>() + first * groups * O, groups * O, O);
      gemm.pack_b = pack_b_plain(weight.data<T>(), depth(), O * depth());
      gemm.c_rows = matrix_rows_out(gcolumns.data<T>(), pitch, depth());
      run(gemm);
      visit(first, count, gcolumns.data<T>());
    }
  }
};

}  // namespace tessera::cpu
