// The matrix product behind matmul, linear and the convolutions on the CPU: C = A B (+ bias) (ReLU), cut into blocks
// that fit the caches and dealt out to the threads.
//
// How A, B and C lie in memory is told by functions, so that one driver serves them all: a convolution points at its
// patches, a transposed matrix is packed, a strided output is scattered by rows.
//
// The result depends on the shapes and the SIMD level only, never on the number of threads: the cut is made from the
// shape, every element is summed by one task in a fixed order, and partial sums over K are added pairwise.
#pragma once

#include <functional>
#include <limits>

#include "ops/activation.h"
#include "ops/cpu/simd/gemm.h"
#include "tensor/dtype.h"

namespace tessera::cpu {

using simd::kTileRows;

template <class T>
struct Gemm {
  i64 items = 1;                // independent products of the same size (a batch, groups)
  i64 rows = 0, columns = 0;    // of C
  i64 runs = 1, run_depth = 0;  // K = runs * run_depth: A's rows come in runs of run_depth elements
  i64 depth() const { return runs * run_depth; }

  // A, one of two ways. `a_rows` points at the runs of rows [row, row + count):
  //   table[(i / kTileRows * runs + t) * kTileRows + i % kTileRows] = run t of row (row + i), where `scratch` has room
  // for scratch_per_row elements per row to put them when they do not exist in memory.
  std::function<void(i64 item, i64 row, i64 count, const T** table, T* scratch)> a_rows = nullptr;
  i64 scratch_per_row = 0;
  // `a_columns`: A(m, k) = a_columns[item * a_item_stride + k * a_step + m], read in place; runs is 1.
  const T* a_columns = nullptr;
  i64 a_step = 0, a_item_stride = 0;

  // Copies one panel of B: out[k * stride + j] = B(k_begin + k, column + j), k < depth, j < count.
  std::function<void(i64 item, i64 k_begin, i64 depth, i64 column, i64 count, T* out, i64 stride)> pack_b = nullptr;
  // Whether the whole packed B may be kept in memory (it is then packed once). Off where B is much larger than its
  // source, as the patches of a convolution are.
  bool keep_b = true;
  // B packed beforehand by pack_whole_b(), in place of pack_b: at the precision that was set then.
  const T* packed_b = nullptr;

  std::function<void(i64 item, i64 row, i64 count, T** rows)> c_rows =
      nullptr;              // where rows [row, row + count) of C begin
  const T* bias = nullptr;  // [items, columns], or null
  // Where rows [row, row + count) of what is added to C begin, or null.
  std::function<void(i64 item, i64 row, i64 count, const T** rows)> residual_rows = nullptr;
  bool relu = false;  // last of all: min(max(C, 0), ceiling)
  T ceiling = std::numeric_limits<T>::infinity();
};

template <class T>
void run(const Gemm<T>& gemm);

// The same whatever precision is set (ops/precision.h): every product of two numbers is one of their dtype.
template <class T>
void run_exactly(const Gemm<T>& gemm);

// B for several products: packed by what `gemm` says of items, columns, runs and pack_b; rows do not matter. In panels,
// or split into bfloat16 parts where the precision that is set and the machine ask for them.
template <class T>
i64 packed_b_size(const Gemm<T>& gemm);  // elements
template <class T>
void pack_whole_b(const Gemm<T>& gemm, T* out);
template <class T>
const T* packed_panels(const T* packed_b);  // where its panels begin; null where it is in bfloat16 parts

// A run of `depth` elements, where it is the only one, is summed in pieces of this length, a multiple of `splits` of
// them. A whole packed B lies so: [item][piece][panel][elements of the piece][columns].
template <class T>
i64 depth_piece(i64 depth, i64 splits = 1);

// What Gemm::ceiling is for an activation that begins with ReLU.
template <class T>
T ceiling_of(ops::Activation activation) {
  return activation == ops::Activation::kRelu6 ? T(6) : std::numeric_limits<T>::infinity();
}

// Operands that are plain matrices, one per item, `item_stride` elements apart.
template <class T>
auto matrix_rows(const T* a, i64 pitch, i64 item_stride) {
  return [=](i64 item, i64 row, i64 count, const T** table, T*) {
    for (i64 i = 0; i < count; ++i) table[i] = a + item * item_stride + (row + i) * pitch;
  };
}

template <class T>  // const T for rows that are read
auto matrix_rows_out(T* c, i64 pitch, i64 item_stride) {
  return [=](i64 item, i64 row, i64 count, T** rows) {
    for (i64 i = 0; i < count; ++i) rows[i] = c + item * item_stride + (row + i) * pitch;
  };
}

// B(k, n) = b[k * pitch + n].
template <class T>
auto pack_b_plain(const T* b, i64 pitch, i64 item_stride) {
  return [=, &kernels = simd::gemm_kernels.get<T>()](i64 item, i64 k_begin, i64 depth, i64 column, i64 count, T* out,
                                                     i64 stride) {
    kernels.copy_strided(b + item * item_stride + k_begin * pitch + column, pitch, depth, count, out, stride);
  };
}

// B(k, n) = b[n * pitch + k].
template <class T>
auto pack_b_transposed(const T* b, i64 pitch, i64 item_stride) {
  return [=, &kernels = simd::gemm_kernels.get<T>()](i64 item, i64 k_begin, i64 depth, i64 column, i64 count, T* out,
                                                     i64 stride) {
    kernels.transpose(b + item * item_stride + column * pitch + k_begin, pitch, count, depth, out, stride);
  };
}

}  // namespace tessera::cpu
