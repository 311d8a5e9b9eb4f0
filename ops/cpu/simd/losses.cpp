// The losses' inner loops. Elementwise losses are functors without branches over one loop, which the compiler
// vectorises; sums run over explicit vectors of partial sums, because the order of additions is part of the result.
#include "ops/cpu/simd/losses.h"

#include "ops/cpu/simd/elementary.h"

namespace tessera {
namespace {

using simd::LossNumbers;

// Both sigmoids from one exponential: p = s(x), n = s(-x) = 1 - p with all its digits; ce is the cross entropy with t.
template <class T>
struct Logistic {
  [[gnu::always_inline]] Logistic(T x) {
    const T e = exp_of(-abs_of(x)), s = T(1) / (T(1) + e);
    p = x < 0 ? e * s : s;
    n = x < 0 ? s : e * s;
  }
  T p, n;
};

template <class T>
[[gnu::always_inline]] inline T cross_entropy_of(T x, T t) {
  return ((x < 0 ? T(0) : x) - x * t) + log1p_of(exp_of(-abs_of(x)));
}

struct Bce {
  template <class T>
  [[gnu::always_inline]] static T loss(T x, T t, const LossNumbers<T>&) {
    return cross_entropy_of(x, t);
  }
  template <class T>
  [[gnu::always_inline]] static T slope(T x, T t, const LossNumbers<T>&) {
    const Logistic<T> s(x);
    return s.p * (1 - t) - s.n * t;
  }
};

// kSquare: gamma = 2, the usual exponent, without logarithm and exponential.
template <bool kSquare>
struct Focal {
  template <class T>
  [[gnu::always_inline]] static T power(T q, T gamma) {
    const T tiny = T(1e-37);  // q = 0 stays finite for exponents below 0; it meets a factor 0
    return gamma == 0 ? T(1) : exp_of(gamma * log_of(q < tiny ? tiny : q));
  }
  template <class T>
  [[gnu::always_inline]] static T loss(T x, T t, const LossNumbers<T>& k) {
    const Logistic<T> s(x);
    const T q = s.p * (1 - t) + s.n * t, weight = k.positive * t + k.negative * (1 - t);
    return weight * (kSquare ? q * q : power(q, k.gamma)) * cross_entropy_of(x, t);
  }
  template <class T>
  [[gnu::always_inline]] static T slope(T x, T t, const LossNumbers<T>& k) {
    const Logistic<T> s(x);
    const T q = s.p * (1 - t) + s.n * t, weight = k.positive * t + k.negative * (1 - t);
    const T dq = s.p * s.n * (1 - 2 * t), dce = s.p * (1 - t) - s.n * t;
    const T factor = kSquare ? q * q : power(q, k.gamma);
    const T dfactor = kSquare ? 2 * q : k.gamma * power(q, k.gamma - 1);
    return weight * (dfactor * dq * cross_entropy_of(x, t) + factor * dce);
  }
};

struct L1 {
  template <class T>
  [[gnu::always_inline]] static T loss(T x, T t, const LossNumbers<T>&) {
    return abs_of(x - t);
  }
  template <class T>
  [[gnu::always_inline]] static T slope(T x, T t, const LossNumbers<T>&) {
    const T d = x - t;
    return d > 0 ? T(1) : d < 0 ? T(-1) : d * 0;  // NaN stays
  }
};

struct SmoothL1 {
  template <class T>
  [[gnu::always_inline]] static T loss(T x, T t, const LossNumbers<T>& k) {
    const T d = abs_of(x - t);
    return d < k.beta ? T(0.5) * d * d / k.beta : d - T(0.5) * k.beta;
  }
  template <class T>
  [[gnu::always_inline]] static T slope(T x, T t, const LossNumbers<T>& k) {
    const T d = x - t;
    return abs_of(d) < k.beta ? d / k.beta : L1::slope(x, t, k);
  }
};

template <class Loss, class T>
void loss_loop(const T* x, const T* t, LossNumbers<T> numbers, T* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = Loss::loss(x[i], t[i], numbers);
}

template <class Loss, class T>
void slope_loop(const T* x, const T* t, LossNumbers<T> numbers, T scale, T* gx, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) gx[i] = scale * Loss::slope(x[i], t[i], numbers);
}

template <class T>
void focal_loop(const T* x, const T* t, LossNumbers<T> numbers, T* y, long n) {
  numbers.gamma == 2 ? loss_loop<Focal<true>>(x, t, numbers, y, n) : loss_loop<Focal<false>>(x, t, numbers, y, n);
}

template <class T>
void focal_slope_loop(const T* x, const T* t, LossNumbers<T> numbers, T scale, T* gx, long n) {
  numbers.gamma == 2 ? slope_loop<Focal<true>>(x, t, numbers, scale, gx, n)
                     : slope_loop<Focal<false>>(x, t, numbers, scale, gx, n);
}

template <class T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(64)));
  static constexpr long kCount = 64 / sizeof(T);
  [[gnu::always_inline]] static Vector load(const T* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  [[gnu::always_inline]] static double sum(Vector v) {
    double total = 0;
    for (long i = 0; i < kCount; ++i) total += v[i];
    return total;
  }
};

constexpr long kPiece = 512;  // values worked on at a time between two loops, in the innermost cache

template <class T>
void dice_sums_loop(const T* x, const T* t, long n, double* sums) {
  using L = Lanes<T>;
  typename L::Vector st = {}, ss = {}, tt = {};
  sums[0] = sums[1] = sums[2] = 0;
  T s[kPiece];
  for (long begin = 0; begin < n; begin += kPiece) {
    const long count = n - begin < kPiece ? n - begin : kPiece;
#pragma omp simd
    for (long i = 0; i < count; ++i) s[i] = sigmoid_of(x[begin + i]);
    long i = 0;
    for (; i + L::kCount <= count; i += L::kCount) {
      const typename L::Vector a = L::load(s + i), b = L::load(t + begin + i);
      st += a * b;
      ss += a * a;
      tt += b * b;
    }
    for (; i < count; ++i) {
      sums[0] += s[i] * t[begin + i];
      sums[1] += s[i] * s[i];
      sums[2] += t[begin + i] * t[begin + i];
    }
  }
  sums[0] += L::sum(st);
  sums[1] += L::sum(ss);
  sums[2] += L::sum(tt);
}

template <class T>
void dice_slope_loop(const T* x, const T* t, T by_target, T by_probability, T* gx, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) {
    const Logistic<T> s(x[i]);
    gx[i] = (by_target * t[i] + by_probability * s.p) * (s.p * s.n);
  }
}

// max + log sum exp(x - max). A NaN is never the maximum, but makes the sum NaN.
template <class T>
void log_sum_exp_loop(const T* x, long n, T* y) {
  using L = Lanes<T>;
  T largest = x[0];
  for (long i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  typename L::Vector partial = {};
  double sum = 0;
  T e[kPiece];
  for (long begin = 0; begin < n; begin += kPiece) {
    const long count = n - begin < kPiece ? n - begin : kPiece;
#pragma omp simd
    for (long i = 0; i < count; ++i) e[i] = exp_of(x[begin + i] - largest);
    long i = 0;
    for (; i + L::kCount <= count; i += L::kCount) partial += L::load(e + i);
    for (; i < count; ++i) sum += e[i];
  }
  *y = largest + log_of(static_cast<T>(sum + L::sum(partial)));
}

template <class T>
void scaled_exp_loop(const T* x, T shift, T scale, T* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = scale * exp_of(x[i] - shift);
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;

[[maybe_unused]] const bool kAdded[] = {
    simd::bce_loss.add(kLevel, loss_loop<Bce, float>, loss_loop<Bce, double>),
    simd::bce_slope.add(kLevel, slope_loop<Bce, float>, slope_loop<Bce, double>),
    simd::focal_loss.add(kLevel, focal_loop<float>, focal_loop<double>),
    simd::focal_slope.add(kLevel, focal_slope_loop<float>, focal_slope_loop<double>),
    simd::l1_loss.add(kLevel, loss_loop<L1, float>, loss_loop<L1, double>),
    simd::l1_slope.add(kLevel, slope_loop<L1, float>, slope_loop<L1, double>),
    simd::smooth_l1_loss.add(kLevel, loss_loop<SmoothL1, float>, loss_loop<SmoothL1, double>),
    simd::smooth_l1_slope.add(kLevel, slope_loop<SmoothL1, float>, slope_loop<SmoothL1, double>),
    simd::dice_sums.add(kLevel, dice_sums_loop<float>, dice_sums_loop<double>),
    simd::dice_slope.add(kLevel, dice_slope_loop<float>, dice_slope_loop<double>),
    simd::log_sum_exp.add(kLevel, log_sum_exp_loop<float>, log_sum_exp_loop<double>),
    simd::scaled_exp.add(kLevel, scaled_exp_loop<float>, scaled_exp_loop<double>),
};

}  // namespace
}  // namespace tessera
