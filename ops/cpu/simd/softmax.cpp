// Softmax, log-softmax and the normalised sigmoid of one contiguous row, or of up to 32 neighbouring columns at once:
// three passes, for the maximum, the sum and the result. Sums are taken in blocks, and blocks added in double.
//
// y = e / sum(e)            gx = y (gy - sum(gy y))         e = exp(x - max)
// y = x - max - log sum(e)  gx = gy - exp(y) sum(gy)
// y = s / D                 gx = (1 - s) s / D (gy - sum(gy s) / D)     s = sigmoid(x), D = max(sum(s), smallest)
#include "ops/cpu/simd/softmax.h"

#include "ops/cpu/simd/elementary.h"
#include "ops/scalar/numbers.h"
#include "ops/scalar/softmax.h"

namespace tessera {
namespace {

constexpr i64 kRowBlock = 512, kColumnBlock = 128;  // elements added before going to double
constexpr i64 kColumns = simd::kSoftmaxColumns;

// What is summed of one value: e, or s.
template <class F, class T>
[[gnu::always_inline]] inline T summand(T x, T largest) {
  return F::kSigmoid ? Math::sigmoid(x) : Math::exp(x - largest);
}
// What the result needs of the sum: a factor, or the logarithm that is taken off.
template <class F, class T>
T scale_of(double sum) {
  if (F::kSigmoid && sum < scalar::kSmallestSum) sum = scalar::kSmallestSum;  // NaN passes
  return static_cast<T>(F::kLog ? __builtin_log(sum) : 1 / sum);
}
template <class F, class T>
[[gnu::always_inline]] inline T result(T x, T y, T largest, T scale) {
  return F::kLog ? x - largest - scale : y * scale;
}

// The backward pass: what is summed, and the result, of gy and y (of the sigmoid: x). total: the sum of s.
template <class F, class T>
[[gnu::always_inline]] inline T gradient_summand(T gy, T y) {
  return F::kSigmoid ? gy * Math::sigmoid(y) : F::kLog ? gy : gy * y;
}
template <class F, class T>
struct Backward {
  T sum, scale;
  Backward(double sum_, double total) : sum(static_cast<T>(sum_)), scale(1) {
    if (!F::kSigmoid) return;
    scale = scale_of<F, T>(total);
    sum = total < scalar::kSmallestSum ? 0 : static_cast<T>(sum_ / total);
  }
};
template <class F, class T>
[[gnu::always_inline]] inline T gradient(T gy, T y, T sum, T scale) {
  if (F::kLog) return gy - Math::exp(y) * sum;
  if (!F::kSigmoid) return y * (gy - sum);
  const T s = Math::sigmoid(y);
  return (1 - s) * s * scale * (gy - sum);
}

template <class F, class T>
void forward_row(const T* x, T* y, i64 n) {
  T largest = x[0];
  if (!F::kSigmoid) {
#pragma omp simd reduction(max : largest)
    for (i64 i = 0; i < n; ++i) largest = x[i] > largest ? x[i] : largest;  // a NaN shows in the sum, if not here
  }
  double sum = 0;
  for (i64 begin = 0; begin < n; begin += kRowBlock) {
    const i64 end = scalar::smaller(begin + kRowBlock, n);
    T block = 0;
#pragma omp simd reduction(+ : block)
    for (i64 i = begin; i < end; ++i) {
      const T e = summand<F>(x[i], largest);
      if (!F::kLog) y[i] = e;
      block += e;
    }
    sum += static_cast<double>(block);
  }
  const T scale = scale_of<F, T>(sum);
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = result<F>(x[i], y[i], largest, scale);
}

template <class F, class T>
void backward_row(const T* gy, const T* y, T* gx, i64 n) {
  double sum = 0, total = 0;
  for (i64 begin = 0; begin < n; begin += kRowBlock) {
    const i64 end = scalar::smaller(begin + kRowBlock, n);
    T block = 0, block_total = 0;
#pragma omp simd reduction(+ : block, block_total)
    for (i64 i = begin; i < end; ++i) {
      block += gradient_summand<F>(gy[i], y[i]);
      if (F::kSigmoid) block_total += Math::sigmoid(y[i]);
    }
    sum += static_cast<double>(block);
    total += static_cast<double>(block_total);
  }
  const Backward<F, T> whole(sum, total);
#pragma omp simd
  for (i64 i = 0; i < n; ++i) gx[i] = gradient<F>(gy[i], y[i], whole.sum, whole.scale);
}

// kFull: the number of columns is known to the compiler, which then keeps maxima and sums in registers.
template <class F, bool kFull, class T>
void forward_columns(const T* x, T* y, i64 rows, i64 stride, i64 columns) {
  const i64 width = kFull ? kColumns : columns;
  T largest[kColumns];
  for (i64 c = 0; c < width; ++c) largest[c] = x[c];
  for (i64 r = 1; r < rows && !F::kSigmoid; ++r) {
#pragma omp simd
    for (i64 c = 0; c < width; ++c) largest[c] = x[r * stride + c] > largest[c] ? x[r * stride + c] : largest[c];
  }
  double sums[kColumns] = {};
  for (i64 begin = 0; begin < rows; begin += kColumnBlock) {
    const i64 end = scalar::smaller(begin + kColumnBlock, rows);
    T block[kColumns] = {};
    for (i64 r = begin; r < end; ++r) {
#pragma omp simd
      for (i64 c = 0; c < width; ++c) {
        const T e = summand<F>(x[r * stride + c], largest[c]);
        if (!F::kLog) y[r * stride + c] = e;
        block[c] += e;
      }
    }
    for (i64 c = 0; c < width; ++c) sums[c] += static_cast<double>(block[c]);
  }
  T scale[kColumns];
  for (i64 c = 0; c < width; ++c) scale[c] = scale_of<F, T>(sums[c]);
  for (i64 r = 0; r < rows; ++r) {
#pragma omp simd
    for (i64 c = 0; c < width; ++c) {
      const i64 i = r * stride + c;
      y[i] = result<F>(x[i], y[i], largest[c], scale[c]);
    }
  }
}

template <class F, bool kFull, class T>
void backward_columns(const T* gy, const T* y, T* gx, i64 rows, i64 stride, i64 columns) {
  const i64 width = kFull ? kColumns : columns;
  double sums[kColumns] = {}, totals[kColumns] = {};
  for (i64 begin = 0; begin < rows; begin += kColumnBlock) {
    const i64 end = scalar::smaller(begin + kColumnBlock, rows);
    T block[kColumns] = {}, block_total[kColumns] = {};
    for (i64 r = begin; r < end; ++r) {
#pragma omp simd
      for (i64 c = 0; c < width; ++c) {
        const i64 i = r * stride + c;
        block[c] += gradient_summand<F>(gy[i], y[i]);
        if (F::kSigmoid) block_total[c] += Math::sigmoid(y[i]);
      }
    }
    for (i64 c = 0; c < width; ++c) {
      sums[c] += static_cast<double>(block[c]);
      totals[c] += static_cast<double>(block_total[c]);
    }
  }
  T sum[kColumns], scale[kColumns];
  for (i64 c = 0; c < width; ++c) {
    const Backward<F, T> whole(sums[c], totals[c]);
    sum[c] = whole.sum, scale[c] = whole.scale;
  }
  for (i64 r = 0; r < rows; ++r) {
#pragma omp simd
    for (i64 c = 0; c < width; ++c) {
      const i64 i = r * stride + c;
      gx[i] = gradient<F>(gy[i], y[i], sum[c], scale[c]);
    }
  }
}

template <class F, class T>
void forward(const T* x, T* y, i64 rows, i64 stride, i64 columns) {
  if (stride == 1) return forward_row<F>(x, y, rows);
  if (columns == kColumns) return forward_columns<F, true>(x, y, rows, stride, columns);
  forward_columns<F, false>(x, y, rows, stride, columns);
}

template <class F, class T>
void backward(const T* gy, const T* y, T* gx, i64 rows, i64 stride, i64 columns) {
  if (stride == 1) return backward_row<F>(gy, y, gx, rows);
  if (columns == kColumns) return backward_columns<F, true>(gy, y, gx, rows, stride, columns);
  backward_columns<F, false>(gy, y, gx, rows, stride, columns);
}

[[maybe_unused]] const bool kAdded = scalar::Softmaxes::each([]<class F>(F) {
  simd::softmax<F>.add(TESSERA_SIMD_LEVEL, forward<F, float>, forward<F, double>);
  simd::softmax_backward<F>.add(TESSERA_SIMD_LEVEL, backward<F, float>, backward<F, double>);
});

}  // namespace
}  // namespace tessera
