// See gemm.h. Written once in vector extensions; a vector is as wide as the level's registers.
//
// Tiles: AVX-512 has 32 registers: 6 x 4 accumulators, 4 vectors of B, 1 broadcast element of A. AVX2 and SSE have 16:
// 6 x 2 accumulators, 2 of B, 1 of A. Six rows give at least 12 independent sums, more than latency x throughput of the
// multiply-add units asks for, and six row pointers still fit in the integer registers.
#include "ops/cpu/simd/gemm.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

using simd::GemmBlock, simd::kTileRows;

constexpr int kPanelVectors = TESSERA_SIMD_LEVEL == 2 ? 4 : 2;

// kRows x kVectors vectors of C: the sums of one tile, which stay in registers.
template <class T, int kRows, int kVectors>
using Sums = vec::Vector<T>[kRows][kVectors];

// sum += A B, all of the depth. `tile` is the row tile within the block.
template <bool kStrided, class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply(const GemmBlock<T>& block, i64 tile, const T* b,
                                            Sums<T, kRows, kVectors>& sum) {
  constexpr int kLanes = vec::kLanes<T>;
  for (i64 t = 0; t < block.runs; ++t) {
    const T* a[kRows];
    const i64 step = kStrided ? block.a_step : 1;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      a[r] = kStrided ? block.a_columns + tile * kTileRows + r
                      : block.a_rows[(tile * block.a_runs + block.run + t) * kTileRows + r] + block.run_offset;
#pragma GCC unroll 4
    for (i64 k = 0; k < block.run_depth; ++k) {
      vec::Vector<T> b_row[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) b_row[v] = vec::load(b + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] += b_row[v] * a[r][k * step];
      }
      b += kVectors * kLanes;
    }
  }
}

// What there is to do with the sums, one thing after the other for all of them: the questions are asked once. `width`:
// the valid columns.
template <class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void finish(const GemmBlock<T>& block, i64 tile, i64 column, i64 width,
                                          Sums<T, kRows, kVectors>& sum) {
  constexpr int kLanes = vec::kLanes<T>;
  const i64 last = width - (kVectors - 1) * kLanes;  // valid elements of the last vector
  const auto each = [&](auto visit) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) visit(r, v);
    }
  };
  const auto add = [&](const T* const* rows) __attribute__((always_inline)) {
    const i64 first = block.c_column + column;
    if (last == kLanes) {
      each([&](int r, int v) __attribute__((always_inline)) { sum[r][v] += vec::load(rows[r] + first + v * kLanes); });
    } else {
      each([&](int r, int v) __attribute__((always_inline)) {
        sum[r][v] += vec::load_first(rows[r] + first + v * kLanes, v == kVectors - 1 ? last : kLanes);
      });
    }
  };
  if (block.bias)
    each([&](int r, int v)
             __attribute__((always_inline)) { sum[r][v] += vec::load(block.bias + column + v * kLanes); });
  T* const* c_rows = block.c_rows + tile * kTileRows;
  if (block.accumulate) add(c_rows);
  if (block.residual_rows) add(block.residual_rows + tile * kTileRows);
  if (block.relu)
    each([&](int r, int v) __attribute__((always_inline)) { sum[r][v] = vec::clamp<T>(sum[r][v], block.ceiling); });
  if (last == kLanes) {
    each([&](int r, int v) __attribute__((always_inline)) {
      vec::store(c_rows[r] + block.c_column + column + v * kLanes, sum[r][v]);
    });
  } else {
    each([&](int r, int v) __attribute__((always_inline)) {
      vec::store_first(c_rows[r] + block.c_column + column + v * kLanes, sum[r][v], v == kVectors - 1 ? last : kLanes);
    });
  }
}

template <class T, int kRows, int kVectors, bool kStrided>
void compute_tile(const GemmBlock<T>& block, i64 tile, const T* b, i64 column, i64 width) {
  Sums<T, kRows, kVectors> sum = {};
  multiply<kStrided, T, kRows, kVectors>(block, tile, b, sum);
  finish<T, kRows, kVectors>(block, tile, column, width, sum);
}

template <class T>
using TileFunction = void (*)(const GemmBlock<T>&, i64, const T*, i64, i64);

template <class T, int kVectors, bool kStrided>
[[gnu::always_inline]] inline TileFunction<T> tile_of(i64 rows) {
  switch (rows) {
    case 1:
      return compute_tile<T, 1, kVectors, kStrided>;
    case 2:
      return compute_tile<T, 2, kVectors, kStrided>;
    case 3:
      return compute_tile<T, 3, kVectors, kStrided>;
    case 4:
      return compute_tile<T, 4, kVectors, kStrided>;
    case 5:
      return compute_tile<T, 5, kVectors, kStrided>;
    default:
      return compute_tile<T, 6, kVectors, kStrided>;
  }
}

template <class T, bool kStrided>
TileFunction<T> tile_of(i64 rows, i64 vectors) {
  switch (vectors) {
    case 1:
      return tile_of<T, 1, kStrided>(rows);
    case 2:
      return tile_of<T, 2, kStrided>(rows);
    case 3:
      return tile_of<T, (kPanelVectors < 3 ? 2 : 3), kStrided>(rows);
    default:
      return tile_of<T, kPanelVectors, kStrided>(rows);
  }
}

// Panels outside, row tiles inside: a panel of B stays in the first-level cache while the tiles of A pass by.
template <class T, bool kStrided>
void compute_block(const GemmBlock<T>& block) {
  constexpr i64 kLanes = vec::kLanes<T>, kColumns = kPanelVectors * kLanes;
  const i64 whole = block.rows / kTileRows, rest = block.rows % kTileRows;
  for (i64 column = 0; column < block.columns; column += kColumns) {
    const i64 width = block.columns - column < kColumns ? block.columns - column : kColumns;
    const i64 vectors = (width + kLanes - 1) / kLanes;
    const T* b = block.b + column / kColumns * block.panel_stride;
    const TileFunction<T> full = tile_of<T, kStrided>(kTileRows, vectors);
    for (i64 tile = 0; tile < whole; ++tile) full(block, tile, b, column, width);
    if (rest) tile_of<T, kStrided>(rest, vectors)(block, whole, b, column, width);
  }
}

template <class T>
void block_kernel(const GemmBlock<T>& block) {
  if (block.a_rows) {
    compute_block<T, false>(block);
  } else {
    compute_block<T, true>(block);
  }
}

// Rows given by a pointer each, or `pitch` apart.
template <class T>
struct Pointers {
  const T* const* rows;
  i64 offset;
  [[gnu::always_inline]] const T* operator[](i64 i) const { return rows[i] + offset; }
};
template <class T>
struct Strided {
  const T* x;
  i64 pitch;
  [[gnu::always_inline]] const T* operator[](i64 i) const { return x + i * pitch; }
};

template <class T, int kWidth, class Rows>
[[gnu::always_inline]] inline void copy_fixed(Rows rows, i64 count, T* out, i64 stride) {
  for (i64 i = 0; i < count; ++i) __builtin_memcpy(out + i * stride, rows[i], kWidth * sizeof(T));
}

// The widths of whole panels are copied without an inner loop.
template <class T, class Rows>
[[gnu::always_inline]] inline void copy(Rows rows, i64 count, i64 width, T* out, i64 stride) {
  constexpr int kLanes = vec::kLanes<T>;
  switch (width) {
    case 2 * kLanes:
      return copy_fixed<T, 2 * kLanes>(rows, count, out, stride);
    case 4 * kLanes:
      return copy_fixed<T, 4 * kLanes>(rows, count, out, stride);
    default:
      break;
  }
  for (i64 i = 0; i < count; ++i) {
    const T* from = rows[i];
    T* to = out + i * stride;
    i64 j = 0;
    for (; j + kLanes <= width; j += kLanes) vec::store(to + j, vec::load(from + j));
    for (; j < width; ++j) to[j] = from[j];
  }
}

template <class T>
void copy_rows(const T* const* rows, i64 offset, i64 count, i64 width, T* out, i64 stride) {
  copy<T>(Pointers<T>{rows, offset}, count, width, out, stride);
}

template <class T>
void copy_strided(const T* x, i64 pitch, i64 count, i64 width, T* out, i64 stride) {
  copy<T>(Strided<T>{x, pitch}, count, width, out, stride);
}

// A 4 x 4 block, in registers.
template <class T>
[[gnu::always_inline]] inline void transpose_block(const T* from, i64 pitch, T* to, i64 stride) {
  using Four = typename vec::Types<T>::Four;
  const auto read = [](const T* at) { return *reinterpret_cast<const Four*>(at); };
  const auto write = [](T* at, Four value) { *reinterpret_cast<Four*>(at) = value; };
  const Four a = read(from), b = read(from + pitch), c = read(from + 2 * pitch), d = read(from + 3 * pitch);
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  write(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  write(to + stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  write(to + 2 * stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  write(to + 3 * stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

// kRun x kRun elements at a time: whole cache lines of x and of out, because the rows of a large matrix often fall on
// the same few sets of the cache and do not stay there. The lines of the next kRun rows, which the processor does not
// foresee, are asked for meanwhile. The edges go one by one.
template <class T>
void transpose(const T* x, i64 pitch, i64 count, i64 width, T* out, i64 stride) {
  constexpr i64 kRun = 64 / sizeof(T);
  const i64 whole_count = count & ~i64{3}, whole_width = width & ~i64{3};
  for (i64 first = 0; first < whole_count; first += kRun) {
    const i64 last = first + kRun < whole_count ? first + kRun : whole_count;
    for (i64 run = 0; run < whole_width; run += kRun) {
      const i64 end = run + kRun < whole_width ? run + kRun : whole_width;
      for (i64 i = first; i < last; i += 4) {
        if (last < whole_count)
          for (i64 r = 0; r < 4; ++r) __builtin_prefetch(x + (i + kRun + r) * pitch + run);
        for (i64 j = run; j < end; j += 4) transpose_block(x + i * pitch + j, pitch, out + j * stride + i, stride);
      }
    }
  }
  for (i64 i = whole_count; i < count; ++i)
    for (i64 j = 0; j < whole_width; ++j) out[j * stride + i] = x[i * pitch + j];
  for (i64 j = whole_width; j < width; ++j)
    for (i64 i = 0; i < count; ++i) out[j * stride + i] = x[i * pitch + j];
}

template <class T>
void sum_rows(const T* x, i64 pitch, i64 count, i64 width, T* out) {
  using Vector = vec::Vector<T>;
  constexpr int kLanes = vec::kLanes<T>;
  i64 j = 0;
  for (; j + kLanes <= width; j += kLanes) {
    Vector even = {}, odd = {};
    i64 i = 0;
    for (; i + 2 <= count; i += 2) {
      even += vec::load(x + i * pitch + j);
      odd += vec::load(x + (i + 1) * pitch + j);
    }
    if (i < count) even += vec::load(x + i * pitch + j);
    vec::store(out + j, even + odd);
  }
  for (; j < width; ++j) {
    T sum = 0;
    for (i64 i = 0; i < count; ++i) sum += x[i * pitch + j];
    out[j] = sum;
  }
}

template <class T>
constexpr simd::GemmKernels<T> kKernels = {
    vec::kLanes<T>, kPanelVectors* vec::kLanes<T>, block_kernel<T>, copy_rows<T>, copy_strided<T>, transpose<T>,
    sum_rows<T>};

[[maybe_unused]] const bool kAdded = simd::gemm_kernels.add(TESSERA_SIMD_LEVEL, kKernels<float>, kKernels<double>);

}  // namespace
}  // namespace tessera
