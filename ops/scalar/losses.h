// The elementwise losses, each a struct: its name, the loss of one value x with its target t, and the slope d(loss)/dx;
// then the dice loss of a row. ops/losses.h states the formulas; m, numbers and linkage are as in ops/scalar/pointwise.h.
#pragma once

#include "ops/scalar/host_device.h"
#include "ops/scalar/operators.h"

namespace tessera::scalar {

// What the elementwise losses need, in the precision of the kernel.
template <class T>
struct LossNumbers {
  T positive, negative;  // focal: weights of the targets 1 and 0
  T gamma;               // focal: exponent
  T beta;                // smooth L1: where it turns linear
};

// Both sigmoids from one exponential: p = s(x), n = s(-x) = 1 - p with all its digits.
template <class T>
struct Logistic {
  T p, n;
};
template <class T>
TESSERA_HD Logistic<T> logistic(auto m, T x) {
  const T e = m.exp(-m.abs(x)), s = T(1) / (T(1) + e);
  return {x < 0 ? e * s : s, x < 0 ? s : e * s};
}

// A kernel's loop is made for each formula: choose(numbers, run) calls run(formula) with the one that the numbers ask
// for. Most losses have one, themselves.
template <class Loss>
struct OneFormula {
  static void choose(const auto&, auto run) { run(Loss()); }
};

struct BinaryCrossEntropy : OneFormula<BinaryCrossEntropy> {
  static constexpr const char* kName = "binary_cross_entropy_with_logits";
  TESSERA_HD static auto loss(auto m, auto x, auto t, const auto&) {
    return ((x < 0 ? 0 : x) - x * t) + m.log1p(m.exp(-m.abs(x)));
  }
  TESSERA_HD static auto slope(auto m, auto x, auto t, const auto&) {
    const auto s = logistic(m, x);
    return s.p * (1 - t) - s.n * t;
  }
};

// kSquare: gamma = 2, the usual exponent, without logarithm and exponential.
template <bool kSquare>
struct FocalTerm {
  template <class T>
  TESSERA_HD static T power(auto m, T q, T gamma) {
    const T tiny = T(1e-37);  // q = 0 stays finite for exponents below 0; it meets a factor 0
    return gamma == 0 ? T(1) : m.pow(q < tiny ? tiny : q, gamma);
  }
  template <class T>
  TESSERA_HD static T loss(auto m, T x, T t, const LossNumbers<T>& k) {
    const auto s = logistic(m, x);
    const T q = s.p * (1 - t) + s.n * t, weight = k.positive * t + k.negative * (1 - t);
    return weight * (kSquare ? q * q : power(m, q, k.gamma)) * BinaryCrossEntropy::loss(m, x, t, k);
  }
  template <class T>
  TESSERA_HD static T slope(auto m, T x, T t, const LossNumbers<T>& k) {
    const auto s = logistic(m, x);
    const T q = s.p * (1 - t) + s.n * t, weight = k.positive * t + k.negative * (1 - t);
    const T dq = s.p * s.n * (1 - 2 * t), dce = s.p * (1 - t) - s.n * t;
    const T factor = kSquare ? q * q : power(m, q, k.gamma);
    const T dfactor = kSquare ? 2 * q : k.gamma * power(m, q, k.gamma - 1);
    return weight * (dfactor * dq * BinaryCrossEntropy::loss(m, x, t, k) + factor * dce);
  }
};
struct SigmoidFocal {
  static constexpr const char* kName = "sigmoid_focal_loss";
  static void choose(const auto& k, auto run) { k.gamma == 2 ? run(FocalTerm<true>()) : run(FocalTerm<false>()); }
};

struct L1 : OneFormula<L1> {
  static constexpr const char* kName = "l1_loss";
  TESSERA_HD static auto loss(auto m, auto x, auto t, const auto&) { return m.abs(x - t); }
  TESSERA_HD static auto slope(auto, auto x, auto t, const auto&) {
    const auto d = x - t;
    return d > 0 ? 1 : d < 0 ? -1 : d * 0;  // NaN stays
  }
};

struct SmoothL1 : OneFormula<SmoothL1> {
  static constexpr const char* kName = "smooth_l1_loss";
  template <class T>
  TESSERA_HD static T loss(auto m, T x, T t, const LossNumbers<T>& k) {
    const T d = m.abs(x - t);
    return d < k.beta ? T(0.5) * d * d / k.beta : d - T(0.5) * k.beta;
  }
  template <class T>
  TESSERA_HD static T slope(auto m, T x, T t, const LossNumbers<T>& k) {
    const T d = x - t;
    return m.abs(d) < k.beta ? d / k.beta : L1::slope(m, x, t, k);
  }
};

// The derivative of the cross entropy is s - t, the distance itself.
struct QualityFocal : OneFormula<QualityFocal> {
  static constexpr const char* kName = "quality_focal_loss";
  TESSERA_HD static auto loss(auto m, auto x, auto t, const auto& k) {
    const auto d = BinaryCrossEntropy::slope(m, x, t, k);
    return d * d * BinaryCrossEntropy::loss(m, x, t, k);
  }
  TESSERA_HD static auto slope(auto m, auto x, auto t, const auto& k) {
    const auto s = logistic(m, x);
    const auto d = BinaryCrossEntropy::slope(m, x, t, k);
    return d * (2 * s.p * s.n * BinaryCrossEntropy::loss(m, x, t, k) + d * d);
  }
};

using ElementLosses = Operators<SigmoidFocal, BinaryCrossEntropy, L1, SmoothL1, QualityFocal>;

// --- Dice, of sums that are taken in double.
TESSERA_HD constexpr double dice_score(double product, double squares, double eps) {
  return 2 * product / (squares + eps);
}

struct DiceSums {
  double product, squares;  // sum s t and sum s^2 + sum t^2

  TESSERA_HD double loss(double eps) const { return 1 - dice_score(product, squares, eps); }
};

// With A = sum s t and D = sum s^2 + sum t^2 + eps:  d(loss)/ds = -2 t / D + 4 A s / D^2.
template <class T>
struct DiceSlopes {
  T by_target, by_probability;

  TESSERA_HD static DiceSlopes of(double g, const DiceSums& sums, double eps) {
    const double D = sums.squares + eps;
    return {static_cast<T>(-2 * g / D), static_cast<T>(4 * g * sums.product / (D * D))};
  }
  TESSERA_HD T gradient(auto m, T x, T t) const {
    const auto s = logistic(m, x);
    return (by_target * t + by_probability * s.p) * (s.p * s.n);
  }
};

}  // namespace tessera::scalar
