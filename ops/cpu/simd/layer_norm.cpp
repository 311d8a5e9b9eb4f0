// Layer normalisation of contiguous rows; ops/layer_norm.h states the formulas. A row is read from memory once: the
// passes over it for its mean, the squares about the mean and the result find it in the cache. In the backward the last
// pass takes four rows together, so that weight, gweight and gbias are loaded once for the four.
#include "ops/cpu/simd/layer_norm.h"

#include "ops/cpu/simd/vector.h"
#include "ops/scalar/norm.h"
#include "ops/scalar/numbers.h"

namespace tessera {
namespace {

using vec::kLanes;
using vec::load;
using vec::store;
using vec::Vector;

constexpr i64 kBlockVectors = 256;  // vectors added up in the dtype before going to double
constexpr int kSums = 4;            // vectors of sums side by side, to hide the latency of an addition
constexpr int kRows = 4;            // rows of one last backward pass, if they are short:
constexpr i64 kShortRow = 2048;     // bytes, so that gy, x and gx of four stay in the first-level cache

template <class T>
[[gnu::always_inline]] inline double sum_lanes(Vector<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return static_cast<double>(lanes[0]);
}

// sum over i < n of term(i), where term gives a vector or, for the rest of the row, one number.
template <class T, class Term>
[[gnu::always_inline]] inline double sum_row(i64 n, const Term& term) {
  constexpr i64 kStep = kLanes<T>;
  const i64 whole = n / kStep * kStep;
  double total = 0;
  for (i64 begin = 0; begin < whole; begin += kBlockVectors * kStep) {
    const i64 end = scalar::smaller(begin + kBlockVectors * kStep, whole);
    Vector<T> sums[kSums] = {};
    i64 i = begin;
    for (; i + kSums * kStep <= end; i += kSums * kStep)
      for (int s = 0; s < kSums; ++s) sums[s] += term.vector(i + s * kStep);
    for (; i < end; i += kStep) sums[0] += term.vector(i);
    total += sum_lanes<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
  T rest = 0;
  for (i64 i = whole; i < n; ++i) rest += term.number(i);
  return total + static_cast<double>(rest);
}

template <class T>
struct Value {
  const T* x;
  [[gnu::always_inline]] Vector<T> vector(i64 i) const { return load(x + i); }
  [[gnu::always_inline]] T number(i64 i) const { return x[i]; }
};

template <class T>
struct SquareAbout {
  const T* x;
  T mean;
  [[gnu::always_inline]] Vector<T> vector(i64 i) const {
    const Vector<T> d = load(x + i) - mean;
    return d * d;
  }
  [[gnu::always_inline]] T number(i64 i) const { return (x[i] - mean) * (x[i] - mean); }
};

template <class T>
void forward(const T* x, const T* weight, const T* bias, double eps, i64 rows, i64 n, T* mean, T* rstd, T* y) {
  constexpr i64 kStep = kLanes<T>;
  const double count = static_cast<double>(n);
  for (i64 r = 0; r < rows; ++r, x += n, y += n) {
    const T m = static_cast<T>(sum_row<T>(n, Value<T>{x}) / count);
    const double variance = sum_row<T>(n, SquareAbout<T>{x, m}) / count;
    const T scale = static_cast<T>(1 / __builtin_sqrt(variance + eps));
    mean[r] = m, rstd[r] = scale;
    i64 i = 0;
    for (; i + kStep <= n; i += kStep)
      store(y + i, scalar::normalised(load(x + i), m, scale, load(weight + i), load(bias + i)));
    for (; i < n; ++i) y[i] = scalar::normalised(x[i], m, scale, weight[i], bias[i]);
  }
}

// The two sums of a row: of g = gy weight, and of g (x - mean).
template <class T>
[[gnu::always_inline]] inline void gradient_sums(const T* gy, const T* weight, const T* x, T mean, i64 n, double* sum,
                                                 double* product) {
  constexpr i64 kStep = kLanes<T>;
  const i64 whole = n / kStep * kStep;
  *sum = *product = 0;
  for (i64 begin = 0; begin < whole; begin += kBlockVectors * kStep) {
    const i64 end = scalar::smaller(begin + kBlockVectors * kStep, whole);
    Vector<T> sums[2] = {}, products[2] = {};
    i64 i = begin;
    for (; i + 2 * kStep <= end; i += 2 * kStep)
      for (int s = 0; s < 2; ++s) {
        const Vector<T> g = load(gy + i + s * kStep) * load(weight + i + s * kStep);
        sums[s] += g;
        products[s] += g * (load(x + i + s * kStep) - mean);
      }
    for (; i < end; i += kStep) {
      const Vector<T> g = load(gy + i) * load(weight + i);
      sums[0] += g;
      products[0] += g * (load(x + i) - mean);
    }
    *sum += sum_lanes<T>(sums[0] + sums[1]);
    *product += sum_lanes<T>(products[0] + products[1]);
  }
  for (i64 i = whole; i < n; ++i) {
    const T g = gy[i] * weight[i];
    *sum += static_cast<double>(g);
    *product += static_cast<double>(g * (x[i] - mean));
  }
}

// gx = rstd g - shift - (x - mean) slope, gweight += gy xhat and gbias += gy over kCount rows. V is a vector of T
// or one number.
template <int kCount, class T>
struct Rows {
  const T *gy, *x;
  T* gx;
  i64 n;
  T mean[kCount], rstd[kCount], shift[kCount], slope[kCount];

  template <class V, class Load, class Store>
  [[gnu::always_inline]] void at(i64 i, const T* weight, T* gweight, T* gbias, const Load& get,
                                 const Store& put) const {
    V gw = get(gweight + i), gb = get(gbias + i);
    const V w = get(weight + i);
    for (int r = 0; r < kCount; ++r) {
      const V g = get(gy + r * n + i), d = get(x + r * n + i) - mean[r];
      put(gx + r * n + i, g * w * rstd[r] - shift[r] - d * slope[r]);
      gw += g * (d * rstd[r]);
      gb += g;
    }
    put(gweight + i, gw);
    put(gbias + i, gb);
  }
};

template <int kCount, class T>
void backward_rows(const T* gy, const T* x, const T* weight, const T* mean, const T* rstd, i64 n, T* gweight, T* gbias,
                   T* gx) {
  constexpr i64 kStep = kLanes<T>;
  const double count = static_cast<double>(n);
  Rows<kCount, T> rows{gy, x, gx, n, {}, {}, {}, {}};
  for (int r = 0; r < kCount; ++r) {
    const double rate = static_cast<double>(rstd[r]);
    double sum, product;
    gradient_sums(gy + r * n, weight, x + r * n, mean[r], n, &sum, &product);
    rows.mean[r] = mean[r], rows.rstd[r] = rstd[r];
    rows.shift[r] = static_cast<T>(sum / count * rate);
    rows.slope[r] = static_cast<T>(product / count * rate * rate * rate);
  }
  i64 i = 0;
  for (; i + kStep <= n; i += kStep)
    rows.template at<Vector<T>>(
        i, weight, gweight, gbias, [](const T* from) { return load(from); }, [](T* to, Vector<T> v) { store(to, v); });
  for (; i < n; ++i)
    rows.template at<T>(
        i, weight, gweight, gbias, [](const T* from) { return *from; }, [](T* to, T v) { *to = v; });
}

template <class T>
void backward(const T* gy, const T* x, const T* weight, const T* mean, const T* rstd, i64 rows, i64 n, T* gweight,
              T* gbias, T* gx) {
  for (i64 i = 0; i < n; ++i) gweight[i] = gbias[i] = 0;
  i64 r = 0;
  const i64 joint = n * static_cast<i64>(sizeof(T)) <= kShortRow ? rows / kRows * kRows : 0;
  for (; r < joint; r += kRows)
    backward_rows<kRows>(gy + r * n, x + r * n, weight, mean + r, rstd + r, n, gweight, gbias, gx + r * n);
  for (; r < rows; ++r)
    backward_rows<1>(gy + r * n, x + r * n, weight, mean + r, rstd + r, n, gweight, gbias, gx + r * n);
}

[[maybe_unused]] const bool kAdded[] = {
    simd::layer_norm.add(TESSERA_SIMD_LEVEL, forward<float>, forward<double>),
    simd::layer_norm_backward.add(TESSERA_SIMD_LEVEL, backward<float>, backward<double>),
};

}  // namespace
}  // namespace tessera
