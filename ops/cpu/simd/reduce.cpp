// Sums in blocks: a block is added up in the dtype itself, many lanes at a time, and blocks are added up in double. The
// error is that of a block, whatever the length.
#include "ops/cpu/simd/reduce.h"

namespace tessera {
namespace {

constexpr i64 kRowBlock = 512, kColumnBlock = 128;  // elements of one block
constexpr i64 kLanes =
    16;  // sums that run side by side along a row, at every SIMD level: the bits are the same at all

i64 shorter(i64 a, i64 b) {
  return a < b ? a : b;
}

template <class T>
double sum_row(const T* x, i64 n) {
  double total = 0;
  for (i64 begin = 0; begin < n; begin += kRowBlock) {
    const i64 end = shorter(begin + kRowBlock, n);
    T lanes[kLanes] = {};
    i64 i = begin;
    for (; i + kLanes <= end; i += kLanes)
      for (i64 lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
    for (; i < end; ++i) lanes[i % kLanes] += x[i];
    for (i64 lane = 0; lane < kLanes; ++lane) total += static_cast<double>(lanes[lane]);
  }
  return total;
}

// kFull: the number of columns is known to the compiler, which keeps the sums in registers.
template <bool kFull, class T>
void sum_columns(const T* x, i64 rows, i64 stride, i64 columns, double* sums) {
  const i64 width = kFull ? simd::kReduceColumns : columns;
  for (i64 c = 0; c < width; ++c) sums[c] = 0;
  for (i64 begin = 0; begin < rows; begin += kColumnBlock) {
    const i64 end = shorter(begin + kColumnBlock, rows);
    T block[simd::kReduceColumns] = {};
    for (i64 r = begin; r < end; ++r) {
#pragma omp simd
      for (i64 c = 0; c < width; ++c) block[c] += x[r * stride + c];
    }
    for (i64 c = 0; c < width; ++c) sums[c] += static_cast<double>(block[c]);
  }
}

template <class T>
void sum(const T* x, i64 rows, i64 stride, i64 columns, double* sums) {
  if (stride == 1) {
    *sums = sum_row(x, rows);
  } else if (columns == simd::kReduceColumns) {
    sum_columns<true>(x, rows, stride, columns, sums);
  } else {
    sum_columns<false>(x, rows, stride, columns, sums);
  }
}

template <class T>
void sum_of_squares(const T* x, i64 n, double* sum) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (i64 i = 0; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  *sum = total;
}

template <class T>
void all_finite(const T* x, i64 n, bool* finite) {
  int bad = 0;
#pragma omp simd reduction(| : bad)
  for (i64 i = 0; i < n; ++i) bad |= !(x[i] - x[i] == 0);  // infinity - infinity is NaN
  *finite = bad == 0;
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;

[[maybe_unused]] const bool kAdded[] = {
    simd::sum.add(kLevel, sum<float>, sum<double>),
    simd::sum_of_squares.add(kLevel, sum_of_squares<float>, sum_of_squares<double>),
    simd::all_finite.add(kLevel, all_finite<float>, all_finite<double>),
};

}  // namespace
}  // namespace tessera
