// The inner part of every matrix product: one block of C = A B, and the copies that bring operands into its form.
//
// The kernel keeps a tile of kTileRows x panel_columns of C in registers. B comes in panels of panel_columns columns,
// [depth][panel_columns], so that each step of the sum loads whole vectors. A is read through one pointer per row and
// run of `run_depth` consecutive elements, and the rows of a tile may lie anywhere. A plain matrix has
// one run; a convolution has one per kernel position, which makes it a matrix product that never copies a patch. C is
// written through one pointer per row for the same reason.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

inline constexpr int kTileRows = 6;  // rows of C held in registers

template <class T>
struct GemmBlock {
  i64 rows = 0, columns = 0;         // the part of C this block computes; depth = runs * run_depth products per element
  const T* const* a_rows = nullptr;  // [row tile][a_runs][kTileRows] start of each row's runs, or null: a_columns
  i64 a_runs = 1;                    // runs in the table
  i64 run = 0, runs = 1;             // the runs to sum: [run, run + runs)
  i64 run_offset = 0, run_depth = 0;  // of each run the elements [run_offset, run_offset + run_depth)
  const T* a_columns = nullptr;       // A(i, k) = a_columns[k * a_step + i], when a_rows is null; then runs = 1
  i64 a_step = 0;
  const T* b = nullptr;        // [panel][depth][panel_columns]; the last panel is narrower, a whole number of vectors
  i64 panel_stride = 0;        // elements from one panel to the next
  T* const* c_rows = nullptr;  // [rows]
  i64 c_column = 0;            // the first column of C
  bool accumulate = false;     // add to what C holds
  const T* bias = nullptr;     // [columns, up to a whole vector], added to the sum, or null
  const T* const* residual_rows = nullptr;  // [rows], read from column c_column on and added to the sum, or null
  bool relu = false;                        // last of all: min(max(., 0), ceiling)
  T ceiling = 0;
};

template <class T>
struct GemmKernels {
  i64 lanes;          // elements of one vector
  i64 panel_columns;  // columns of a full panel of B
  void (*block)(const GemmBlock<T>& block);
  // out[i * stride + j] = rows[i][offset + j] for i < count, j < width.
  void (*copy_rows)(const T* const* rows, i64 offset, i64 count, i64 width, T* out, i64 stride);
  // out[i * stride + j] = x[i * pitch + j] for i < count, j < width.
  void (*copy_strided)(const T* x, i64 pitch, i64 count, i64 width, T* out, i64 stride);
  // out[j * stride + i] = x[i * pitch + j] for i < count, j < width.
  void (*transpose)(const T* x, i64 pitch, i64 count, i64 width, T* out, i64 stride);
  // out[j] = the sum of x[i * pitch + j] over i < count, for j < width.
  void (*sum_rows)(const T* x, i64 pitch, i64 count, i64 width, T* out);
};

inline constinit FloatTables<GemmKernels> gemm_kernels;

}  // namespace tessera::simd
