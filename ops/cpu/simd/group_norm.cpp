// Rows one after the other, sums of the columns in the first-level cache: reading memory in one direction is worth more
// than keeping sums in registers. The loops along the channels are left to the compiler.
#include "ops/cpu/simd/group_norm.h"

#include "ops/scalar/norm.h"

namespace tessera {
namespace {

// One pass, about the first row: squares about the mean are then a small difference only where that row itself lies far
// out, and such a row makes the variance of its group just as large.
template <class T>
void column_moments(const T* x, i64 rows, i64 C, T* mean, T* squares) {
  for (i64 c = 0; c < C; ++c) mean[c] = squares[c] = 0;
  for (i64 r = 0; r < rows; ++r) {
#pragma omp simd
    for (i64 c = 0; c < C; ++c) {
      const T d = x[r * C + c] - x[c];
      mean[c] += d;
      squares[c] += d * d;
    }
  }
  const T scale = 1 / static_cast<T>(rows);
#pragma omp simd
  for (i64 c = 0; c < C; ++c) {
    const T about = squares[c] - mean[c] * mean[c] * scale;
    squares[c] = about < 0 ? T(0) : about;
    mean[c] = x[c] + mean[c] * scale;
  }
}

template <class T>
void column_products(const T* gy, const T* x, const T* mean, i64 rows, i64 C, T* sums, T* products) {
  for (i64 c = 0; c < C; ++c) sums[c] = products[c] = 0;
  for (i64 r = 0; r < rows; ++r) {
#pragma omp simd
    for (i64 c = 0; c < C; ++c) {
      sums[c] += gy[r * C + c];
      products[c] += gy[r * C + c] * (x[r * C + c] - mean[c]);
    }
  }
}

template <class T>
void normalise(const T* x, const T* mean, const T* scale, const T* bias, i64 rows, i64 C, T* y) {
  for (i64 r = 0; r < rows; ++r) {
#pragma omp simd
    for (i64 c = 0; c < C; ++c) y[r * C + c] = scalar::normalised(x[r * C + c], mean[c], scale[c], bias[c]);
  }
}

template <class T>
void normalise_backward(const T* gy, const T* x, const T* mean, const T* scale, const T* shift, const T* slope,
                        i64 rows, i64 C, T* gx) {
  for (i64 r = 0; r < rows; ++r) {
#pragma omp simd
    for (i64 c = 0; c < C; ++c)
      gx[r * C + c] = scalar::normalised_gradient(gy[r * C + c], x[r * C + c], mean[c], scale[c], shift[c], slope[c]);
  }
}

[[maybe_unused]] const bool kAdded[] = {
    simd::column_moments.add(TESSERA_SIMD_LEVEL, column_moments<float>, column_moments<double>),
    simd::column_products.add(TESSERA_SIMD_LEVEL, column_products<float>, column_products<double>),
    simd::normalise.add(TESSERA_SIMD_LEVEL, normalise<float>, normalise<double>),
    simd::normalise_backward.add(TESSERA_SIMD_LEVEL, normalise_backward<float>, normalise_backward<double>),
};

}  // namespace
}  // namespace tessera
