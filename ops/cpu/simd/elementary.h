// Elementary functions for kernels compiled per SIMD level: straight-line code without calls or branches, so that the
// compiler turns a loop over them into vector code. f32 is within a relative error of 1e-6 (mostly 1 or 2 ulp) over the
// whole range, with infinities, NaN and denormals treated as libm does; f64 calls libm.
//
// Math is the `m` of the formulas in ops/scalar/. The polynomials are weighted minimax fits to the function named
// beside them.
#pragma once

namespace tessera {
namespace {

[[gnu::always_inline]] inline int bits_of(float x) {
  return __builtin_bit_cast(int, x);
}
[[gnu::always_inline]] inline float float_of(int bits) {
  return __builtin_bit_cast(float, bits);
}

// first x^n + ... + last, by Horner's rule.
template <class... C>
[[gnu::always_inline]] inline float polynomial(float x, float first, C... rest) {
  ((first = first * x + rest), ...);
  return first;
}

struct Math {
  [[gnu::always_inline]] static float abs(float x) { return __builtin_fabsf(x); }
  [[gnu::always_inline]] static double abs(double x) { return __builtin_fabs(x); }
  [[gnu::always_inline]] static float sqrt(float x) { return __builtin_sqrtf(x); }
  [[gnu::always_inline]] static double sqrt(double x) { return __builtin_sqrt(x); }

  // e^x = 2^n e^r with n = round(x / ln 2). Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. The
  // power of two is applied in two halves, because n reaches from -150 (the smallest denormal) to 128 (infinity).
  [[gnu::always_inline]] static float exp(float x) {
    constexpr float kRound = 12582912.0f;
    const float bounded = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;  // NaN passes
    const float shifted = bounded * 1.44269504f + kRound, whole = shifted - kRound;
    const float r = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;  // ln 2 in two parts, the first exact
    // (e^r - 1 - r) / r^2
    const float p = polynomial(r, 0.00138131401f, 0.00836941972f, 0.041668456f, 0.166665152f, 0.49999994f);
    const float e = 1.0f + (r + r * r * p);
    const int n = bits_of(shifted) - bits_of(kRound), half = n >> 1;
    return e * float_of((half + 127) << 23) * float_of((n - half + 127) << 23);
  }
  [[gnu::always_inline]] static double exp(double x) { return __builtin_exp(x); }

  // log x = n ln 2 + log(1 + f) with 1 + f in [sqrt(1/2), sqrt 2).
  [[gnu::always_inline]] static float log(float x) {
    const bool denormal = x < 1.17549435e-38f;
    const float normal = denormal ? x * 8388608.0f : x;
    // Unsigned where NaN and negative arguments, which end as NaN below, would overflow.
    const unsigned bits = static_cast<unsigned>(bits_of(normal));
    const int offset = static_cast<int>(bits - 0x3f3504f3u) >> 23;  // 0x3f3504f3: sqrt(1/2)
    const float f = float_of(static_cast<int>(bits - (static_cast<unsigned>(offset) << 23))) - 1.0f;
    const float n = static_cast<float>(offset) - (denormal ? 23.0f : 0.0f);
    // (log(1 + f) - f + f^2 / 2) / f^3
    const float p = polynomial(f, -0.0764595196f, 0.12779054f, -0.131642148f, 0.141997054f, -0.166227624f, 0.200012922f,
                               -0.250008374f, 0.333333313f);
    const float square = f * f;
    float y = n * 0.693359375f + (f + (n * -2.12194440e-4f + (square * f * p - 0.5f * square)));
    y = x == 0.0f ? -__builtin_inff() : y;
    y = x == __builtin_inff() ? x : y;
    return x >= 0.0f ? y : __builtin_nanf("");
  }
  [[gnu::always_inline]] static double log(double x) { return __builtin_log(x); }

  // log(1 + u) for u in [0, 1]: the rounding error of 1 + u, which is all there is for a tiny u, is added back.
  [[gnu::always_inline]] static float log1p(float u) {
    const float w = 1.0f + u;
    return log(w) + (u - (w - 1.0f)) / w;
  }
  [[gnu::always_inline]] static double log1p(double u) { return __builtin_log1p(u); }

  [[gnu::always_inline]] static float tanh(float x) {
    const float a = abs(x), square = x * x;
    // (tanh(x) - x) / x^3, for small x
    const float p = polynomial(square, -0.00552861299f, 0.0204832945f, -0.0536929592f, 0.133308992f, -0.333332628f);
    const float small = x + x * square * p;
    const float large = 1.0f - 2.0f / (exp(2.0f * a) + 1.0f);
    return a < 0.625f ? small : x < 0.0f ? -large : large;
  }
  [[gnu::always_inline]] static double tanh(double x) { return __builtin_tanh(x); }

  // 1 / (1 + e^-x), from e^-|x| so that nothing overflows and both tails keep their digits.
  template <class T>
  [[gnu::always_inline]] static T sigmoid(T x) {
    const T e = exp(-abs(x)), s = T(1) / (T(1) + e);
    return x < 0 ? e * s : s;
  }

  // x^y for x > 0
  template <class T>
  [[gnu::always_inline]] static T pow(T x, T y) {
    return exp(y * log(x));
  }

  // The standard normal distribution Phi(x), given e = exp(-x^2 / 2).
  [[gnu::always_inline]] static float normal_cdf(float x, float e) {
    const float t = 1.0f / (1.0f + 0.25f * abs(x));
    // Phi(-|x|) exp(x^2 / 2), as a polynomial of t
    const float p = polynomial(t, 0.0339471847f, -0.196179688f, 0.395006657f, -0.333475769f, 0.304491937f,
                               -0.0203865822f, 0.121568754f, 0.0948200896f, 0.100229017f, -2.16009757e-05f);
    const float tail = e * p;
    return x < 0.0f ? tail : 1.0f - tail;
  }
  [[gnu::always_inline]] static double normal_cdf(double x, double) {
    return 0.5 * __builtin_erfc(x * -0.70710678118654752440);
  }
};

}  // namespace
}  // namespace tessera
