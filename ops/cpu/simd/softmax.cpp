// Softmax and log-softmax of one contiguous row, or of up to 32 neighbouring columns at once: three passes, for the
// maximum, the sum of exponentials and the result. Sums are taken in blocks, and blocks added in double.
//
// y = e / sum(e)            gx = y (gy - sum(gy y))         e = exp(x - max)
// y = x - max - log sum(e)  gx = gy - exp(y) sum(gy)
#include "ops/cpu/simd/softmax.h"

#include "ops/cpu/simd/elementary.h"

namespace tessera {
namespace {

enum class Kind { kSoftmax, kLogSoftmax };

constexpr long kRowBlock = 512, kColumnBlock = 128;  // elements added before going to double
constexpr long kColumns = simd::kSoftmaxColumns;

long shorter(long a, long b) {
  return a < b ? a : b;
}

template <Kind kKind, class T>
void forward_row(const T* x, T* y, long n) {
  T largest = x[0];
#pragma omp simd reduction(max : largest)
  for (long i = 0; i < n; ++i) largest = x[i] > largest ? x[i] : largest;  // a NaN shows in the sum, if not here
  double sum = 0;
  for (long begin = 0; begin < n; begin += kRowBlock) {
    const long end = shorter(begin + kRowBlock, n);
    T block = 0;
#pragma omp simd reduction(+ : block)
    for (long i = begin; i < end; ++i) {
      const T e = exp_of(x[i] - largest);
      if (kKind == Kind::kSoftmax) y[i] = e;
      block += e;
    }
    sum += static_cast<double>(block);
  }
  const T scale = static_cast<T>(1 / sum), shift = static_cast<T>(__builtin_log(sum));
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = kKind == Kind::kSoftmax ? y[i] * scale : x[i] - largest - shift;
}

template <Kind kKind, class T>
void backward_row(const T* gy, const T* y, T* gx, long n) {
  double sum = 0;
  for (long begin = 0; begin < n; begin += kRowBlock) {
    const long end = shorter(begin + kRowBlock, n);
    T block = 0;
#pragma omp simd reduction(+ : block)
    for (long i = begin; i < end; ++i) block += kKind == Kind::kSoftmax ? gy[i] * y[i] : gy[i];
    sum += static_cast<double>(block);
  }
  const T s = static_cast<T>(sum);
#pragma omp simd
  for (long i = 0; i < n; ++i) gx[i] = kKind == Kind::kSoftmax ? y[i] * (gy[i] - s) : gy[i] - exp_of(y[i]) * s;
}

// kFull: the number of columns is known to the compiler, which then keeps maxima and sums in registers.
template <Kind kKind, bool kFull, class T>
void forward_columns(const T* x, T* y, long rows, long stride, long columns) {
  const long width = kFull ? kColumns : columns;
  T largest[kColumns];
  for (long c = 0; c < width; ++c) largest[c] = x[c];
  for (long r = 1; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < width; ++c) largest[c] = x[r * stride + c] > largest[c] ? x[r * stride + c] : largest[c];
  }
  double sums[kColumns] = {};
  for (long begin = 0; begin < rows; begin += kColumnBlock) {
    const long end = shorter(begin + kColumnBlock, rows);
    T block[kColumns] = {};
    for (long r = begin; r < end; ++r) {
#pragma omp simd
      for (long c = 0; c < width; ++c) {
        const T e = exp_of(x[r * stride + c] - largest[c]);
        if (kKind == Kind::kSoftmax) y[r * stride + c] = e;
        block[c] += e;
      }
    }
    for (long c = 0; c < width; ++c) sums[c] += static_cast<double>(block[c]);
  }
  T factor[kColumns];  // the scale or the shift of each column
  for (long c = 0; c < width; ++c)
    factor[c] = kKind == Kind::kSoftmax ? static_cast<T>(1 / sums[c]) : static_cast<T>(__builtin_log(sums[c]));
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < width; ++c) {
      const long i = r * stride + c;
      y[i] = kKind == Kind::kSoftmax ? y[i] * factor[c] : x[i] - largest[c] - factor[c];
    }
  }
}

template <Kind kKind, bool kFull, class T>
void backward_columns(const T* gy, const T* y, T* gx, long rows, long stride, long columns) {
  const long width = kFull ? kColumns : columns;
  double sums[kColumns] = {};
  for (long begin = 0; begin < rows; begin += kColumnBlock) {
    const long end = shorter(begin + kColumnBlock, rows);
    T block[kColumns] = {};
    for (long r = begin; r < end; ++r) {
#pragma omp simd
      for (long c = 0; c < width; ++c) {
        const long i = r * stride + c;
        block[c] += kKind == Kind::kSoftmax ? gy[i] * y[i] : gy[i];
      }
    }
    for (long c = 0; c < width; ++c) sums[c] += static_cast<double>(block[c]);
  }
  T s[kColumns];
  for (long c = 0; c < width; ++c) s[c] = static_cast<T>(sums[c]);
  for (long r = 0; r < rows; ++r) {
#pragma omp simd
    for (long c = 0; c < width; ++c) {
      const long i = r * stride + c;
      gx[i] = kKind == Kind::kSoftmax ? y[i] * (gy[i] - s[c]) : gy[i] - exp_of(y[i]) * s[c];
    }
  }
}

template <Kind kKind, class T>
void forward(const T* x, T* y, long rows, long stride, long columns) {
  if (stride == 1) return forward_row<kKind>(x, y, rows);
  if (columns == kColumns) return forward_columns<kKind, true>(x, y, rows, stride, columns);
  forward_columns<kKind, false>(x, y, rows, stride, columns);
}

template <Kind kKind, class T>
void backward(const T* gy, const T* y, T* gx, long rows, long stride, long columns) {
  if (stride == 1) return backward_row<kKind>(gy, y, gx, rows);
  if (columns == kColumns) return backward_columns<kKind, true>(gy, y, gx, rows, stride, columns);
  backward_columns<kKind, false>(gy, y, gx, rows, stride, columns);
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;
constexpr Kind kSoftmax = Kind::kSoftmax, kLog = Kind::kLogSoftmax;

[[maybe_unused]] const bool kAdded[] = {
    simd::softmax.add(kLevel, forward<kSoftmax, float>, forward<kSoftmax, double>),
    simd::softmax_backward.add(kLevel, backward<kSoftmax, float>, backward<kSoftmax, double>),
    simd::log_softmax.add(kLevel, forward<kLog, float>, forward<kLog, double>),
    simd::log_softmax_backward.add(kLevel, backward<kLog, float>, backward<kLog, double>),
};

}  // namespace
}  // namespace tessera
