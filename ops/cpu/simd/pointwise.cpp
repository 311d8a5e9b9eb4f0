// y[i] = f(x[i]) for every formula f of ops/scalar/pointwise.h: one loop per kind of operator, which the compiler
// vectorises at each SIMD level once all of the formula is inlined (flatten). `omp simd` asserts that iterations are
// independent, which in-place calls are as well.
#include "ops/cpu/simd/pointwise.h"

#include "ops/cpu/simd/elementary.h"
#include "ops/scalar/pointwise.h"

namespace tessera {
namespace {

template <class F, class T>
[[gnu::flatten]] void unary(const T* x, T* y, i64 n) {
  static_assert(sizeof(F::of(Math(), T())) == sizeof(T), "a number of this formula is double: write T(0.5)");
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = F::of(Math(), x[i]);
}

template <class F, class T>
[[gnu::flatten]] void unary_into(const T* x, T* y, i64 n) {
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = F::of(Math(), y[i], x[i]);
}

template <class F, class T>
[[gnu::flatten]] void unary_scalar(const T* x, T value, T* y, i64 n) {
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = F::of(Math(), x[i], value);
}

template <class F, class T>
[[gnu::flatten]] void pairwise(const T* a, const T* b, T* y, i64 n) {
  static_assert(sizeof(F::of(Math(), T(), T())) == sizeof(T), "a number of this formula is double: write T(0.5)");
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = F::of(Math(), a[i], b[i]);
}

template <class F, class T>
[[gnu::flatten]] void binary(const T* a, i64 step_a, const T* b, i64 step_b, T* y, i64 n) {
  if (step_a && step_b) return pairwise<F, T>(a, b, y, n);
  if (step_a) return unary_scalar<F, T>(a, *b, y, n);
  const T first = *a;
#pragma omp simd
  for (i64 i = 0; i < n; ++i) y[i] = F::of(Math(), first, b[i]);
}

constexpr int kLevel = TESSERA_SIMD_LEVEL;

[[maybe_unused]] const bool kAdded[] = {
    scalar::Unary::each([]<class F>(F) {
      simd::unary<F>.add(kLevel, unary<F, float>, unary<F, double>);
      using Gradient = scalar::GradientOf<F>;
      simd::unary_backward<F>.add(kLevel, pairwise<Gradient, float>, pairwise<Gradient, double>);
    }),
    scalar::WithNumber::each(
        []<class F>(F) { simd::unary_scalar<F>.add(kLevel, unary_scalar<F, float>, unary_scalar<F, double>); }),
    scalar::Binary::each([]<class F>(F) { simd::binary<F>.add(kLevel, binary<F, float>, binary<F, double>); }),
    simd::add_into.add(kLevel, unary_into<scalar::Add, float>, unary_into<scalar::Add, double>),
};

}  // namespace
}  // namespace tessera
