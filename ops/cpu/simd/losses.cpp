// The losses' inner loops. Elementwise losses are formulas of ops/scalar/losses.h under one loop, which the compiler
// vectorises when all of a formula is inlined (flatten); sums run over explicit vectors of partial sums, because the
// order of additions is part of the result.
#include "ops/cpu/simd/losses.h"

#include "ops/cpu/simd/elementary.h"

namespace tessera {
namespace {

using scalar::LossNumbers;

template <class Loss, class T>
[[gnu::flatten]] void loss_loop(const T* x, const T* t, LossNumbers<T> numbers, T* y, i64 n) {
  Loss::choose(numbers, [=](auto formula) {
#pragma omp simd
    for (i64 i = 0; i < n; ++i) y[i] = formula.loss(Math(), x[i], t[i], numbers);
  });
}

template <class Loss, class T>
[[gnu::flatten]] void slope_loop(const T* x, const T* t, LossNumbers<T> numbers, T scale, T* gx, i64 n) {
  Loss::choose(numbers, [=](auto formula) {
#pragma omp simd
    for (i64 i = 0; i < n; ++i) gx[i] = scale * formula.slope(Math(), x[i], t[i], numbers);
  });
}

template <class T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(64)));
  static constexpr i64 kCount = 64 / sizeof(T);
  [[gnu::always_inline]] static Vector load(const T* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  [[gnu::always_inline]] static double sum(Vector v) {
    double total = 0;
    for (i64 i = 0; i < kCount; ++i) total += v[i];
    return total;
  }
};

constexpr i64 kPiece = 512;  // values worked on at a time between two loops, in the innermost cache

template <class T>
void dice_sums_loop(const T* x, const T* t, i64 n, double* sums) {
  using L = Lanes<T>;
  typename L::Vector st = {}, ss = {}, tt = {};
  sums[0] = sums[1] = sums[2] = 0;
  T s[kPiece];
  for (i64 begin = 0; begin < n; begin += kPiece) {
    const i64 count = n - begin < kPiece ? n - begin : kPiece;
#pragma omp simd
    for (i64 i = 0; i < count; ++i) s[i] = Math::sigmoid(x[begin + i]);
    i64 i = 0;
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
[[gnu::flatten]] void dice_slope_loop(const T* x, const T* t, scalar::DiceSlopes<T> slopes, T* gx, i64 n) {
#pragma omp simd
  for (i64 i = 0; i < n; ++i) gx[i] = slopes.gradient(Math(), x[i], t[i]);
}

// max + log sum exp(x - max). A NaN is never the maximum, but makes the sum NaN.
template <class T>
void log_sum_exp_loop(const T* x, i64 n, T* y) {
  using L = Lanes<T>;
  T largest = x[0];
  for (i64 i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  typename L::Vector partial = {};
  double sum = 0;
  T e[kPiece];
  for (i64 begin = 0; begin < n; begin += kPiece) {
    const i64 count = n - begin < kPiece ? n - begin : kPiece;
#pragma omp simd
    for (i64 i = 0; i < count; ++i) e[i] = Math::exp(x[begin + i] - largest);
    i64 i = 0;
    for (; i + L::kCount <= count; i += L::kCount) partial += L::load(e + i);
    for (; i < count; ++i) sum += e[i];
  }
  *y = largest + Math::log(static_cast<T>(sum + L::sum(partial)));
}

template <class T>
void scaled_exp_loop(const T* x, T shift, T scale, T* y, i64 n) {
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = scale * Math::exp(x[i] - shift);
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;

[[maybe_unused]] const bool kAdded[] = {
    scalar::ElementLosses::each([]<class Loss>(Loss) {
      simd::loss<Loss>.add(kLevel, loss_loop<Loss, float>, loss_loop<Loss, double>);
      simd::loss_slope<Loss>.add(kLevel, slope_loop<Loss, float>, slope_loop<Loss, double>);
    }),
    simd::dice_sums.add(kLevel, dice_sums_loop<float>, dice_sums_loop<double>),
    simd::dice_slope.add(kLevel, dice_slope_loop<float>, dice_slope_loop<double>),
    simd::log_sum_exp.add(kLevel, log_sum_exp_loop<float>, log_sum_exp_loop<double>),
    simd::scaled_exp.add(kLevel, scaled_exp_loop<float>, scaled_exp_loop<double>),
};

}  // namespace
}  // namespace tessera
