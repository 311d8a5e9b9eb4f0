// The matrix products of the index convolutions: both operands small, made by one thread.
#pragma once

#include <utility>
#include <vector>

#include "ops/cpu/gemm.h"
#include "ops/cpu/round.h"

namespace tessera::cpu {

// A matrix [depth][columns] as panels for the product.
template <class T>
struct Panels {
  i64 columns, width, padded;  // width of a panel; all columns with the last panel padded to whole vectors
  explicit Panels(i64 columns)
      : columns(columns),
        width(simd::gemm_kernels.get<T>().panel_columns),
        padded(round_up(columns, simd::gemm_kernels.get<T>().lanes)) {}
  i64 stride(i64 column) const { return std::min(width, padded - column); }  // of the panel that begins at `column`
};

// Rows of a matrix, each by its beginning.
template <class T>
std::vector<T*> row_pointers(T* data, i64 count, i64 pitch) {
  std::vector<T*> rows(static_cast<size_t>(count));
  for (T*& row : rows) row = std::exchange(data, data + pitch);
  return rows;
}

// c_rows[i][c_column + j] = the sum over k < depth of a_rows[i][a_offset + k] b(k, j)
template <class T>
void multiply_rows(const Panels<T>& panels, i64 rows, i64 depth, const T* const* a_rows, i64 a_offset, const T* b,
                   T* const* c_rows, i64 c_column) {
  simd::gemm_kernels.get<T>().block({.rows = rows,
                                     .columns = panels.columns,
                                     .a_rows = a_rows,
                                     .run_offset = a_offset,
                                     .run_depth = depth,
                                     .b = b,
                                     .panel_stride = panels.width * depth,
                                     .c_rows = c_rows,
                                     .c_column = c_column});
}

// c_rows[i][c_column + j] (+)= the sum over k < depth of a[k * rows + i] b(k, j)
template <class T>
void multiply_columns(const Panels<T>& panels, i64 rows, i64 depth, const T* a, const T* b, T* const* c_rows,
                      i64 c_column, bool accumulate) {
  simd::gemm_kernels.get<T>().block({.rows = rows,
                                     .columns = panels.columns,
                                     .run_depth = depth,
                                     .a_columns = a,
                                     .a_step = rows,
                                     .b = b,
                                     .panel_stride = panels.width * depth,
                                     .c_rows = c_rows,
                                     .c_column = c_column,
                                     .accumulate = accumulate});
}

}  // namespace tessera::cpu
