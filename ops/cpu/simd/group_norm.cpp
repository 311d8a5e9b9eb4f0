// Sums down the columns of some rows, kNormColumns at a time: their sums stay in registers while the rows pass. The
// loops along the channels are left to the compiler.
#include "ops/cpu/simd/group_norm.h"

namespace tessera {
namespace {

constexpr long kColumns = simd::kNormColumns;

// kFull: the number of columns is known to the compiler, which keeps the sums in registers.
template <bool kFull, class T>
void moments(const T* x, long rows, long C, long columns, T* mean, T* squares) {
  const long width = kFull ? kColumns : columns;
  T sum[kColumns] = {};
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < width; ++c) sum[c] += x[r * C + c];
  }
  const T scale = 1 / static_cast<T>(rows);
  T centre[kColumns], square[kColumns] = {};
  for (long c = 0; c < width; ++c) centre[c] = sum[c] * scale;
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < width; ++c) square[c] += (x[r * C + c] - centre[c]) * (x[r * C + c] - centre[c]);
  }
  for (long c = 0; c < width; ++c) mean[c] = centre[c], squares[c] = square[c];
}

template <class T>
void column_moments(const T* x, long rows, long C, T* mean, T* squares) {
  long c = 0;
  for (; c + kColumns <= C; c += kColumns) moments<true>(x + c, rows, C, kColumns, mean + c, squares + c);
  if (c < C) moments<false>(x + c, rows, C, C - c, mean + c, squares + c);
}

template <bool kFull, class T>
void products(const T* gy, const T* x, const T* mean, long rows, long C, long columns, T* sums, T* products) {
  const long width = kFull ? kColumns : columns;
  T sum[kColumns] = {}, product[kColumns] = {}, centre[kColumns];
  for (long c = 0; c < width; ++c) centre[c] = mean[c];
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < width; ++c) {
      sum[c] += gy[r * C + c];
      product[c] += gy[r * C + c] * (x[r * C + c] - centre[c]);
    }
  }
  for (long c = 0; c < width; ++c) sums[c] = sum[c], products[c] = product[c];
}

template <class T>
void column_products(const T* gy, const T* x, const T* mean, long rows, long C, T* sums, T* results) {
  long c = 0;
  for (; c + kColumns <= C; c += kColumns)
    products<true>(gy + c, x + c, mean + c, rows, C, kColumns, sums + c, results + c);
  if (c < C) products<false>(gy + c, x + c, mean + c, rows, C, C - c, sums + c, results + c);
}

template <class T>
void normalise(const T* x, const T* mean, const T* scale, const T* bias, long rows, long C, T* y) {
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < C; ++c) y[r * C + c] = (x[r * C + c] - mean[c]) * scale[c] + bias[c];
  }
}

template <class T>
void normalise_backward(const T* gy, const T* x, const T* mean, const T* scale, const T* shift, const T* slope,
                        long rows, long C, T* gx) {
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < C; ++c)
      gx[r * C + c] = gy[r * C + c] * scale[c] - shift[c] - (x[r * C + c] - mean[c]) * slope[c];
  }
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;

[[maybe_unused]] const bool kAdded[] = {
    simd::column_moments.add(kLevel, column_moments<float>, column_moments<double>),
    simd::column_products.add(kLevel, column_products<float>, column_products<double>),
    simd::normalise.add(kLevel, normalise<float>, normalise<double>),
    simd::normalise_backward.add(kLevel, normalise_backward<float>, normalise_backward<double>),
};

}  // namespace
}  // namespace tessera
