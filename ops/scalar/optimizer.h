// What an update does to one parameter; ops/optimizer.h states the formulas. g is the gradient, already scaled.
#pragma once

#include <cmath>
#include <limits>

#include "ops/optimizer.h"
#include "ops/scalar/numbers.h"

namespace tessera::scalar {
namespace {

TESSERA_HD inline double clip_scale(double norm, bool finite, double max_norm) {
  if (!finite) return std::numeric_limits<double>::quiet_NaN();
  if (max_norm == 0) return 1;
  return smaller(1.0, max_norm / (norm + 1e-6));
}

template <class T>
struct AdamW {
  T keep, beta1, rest1, beta2, rest2, step, root, eps;

  static AdamW of(const ops::AdamWParams& p) {
    const double t = static_cast<double>(p.step);
    return {.keep = static_cast<T>(1 - p.lr * p.weight_decay),
            .beta1 = static_cast<T>(p.beta1),
            .rest1 = static_cast<T>(1 - p.beta1),
            .beta2 = static_cast<T>(p.beta2),
            .rest2 = static_cast<T>(1 - p.beta2),
            .step = static_cast<T>(p.lr / (1 - std::pow(p.beta1, t))),
            .root = static_cast<T>(std::sqrt(1 - std::pow(p.beta2, t))),
            .eps = static_cast<T>(p.eps)};
  }
  TESSERA_HD void operator()(T g, T& p, T& m, T& v) const {
    const T mean = beta1 * m + rest1 * g, square = beta2 * v + rest2 * g * g;
    m = mean, v = square;
    p = keep * p - step * mean / (std::sqrt(square) / root + eps);
  }
};

template <class T>
struct Sgd {
  T lr, momentum, decay;

  static Sgd of(const ops::SgdParams& p) {
    return {static_cast<T>(p.lr), static_cast<T>(p.momentum), static_cast<T>(p.weight_decay)};
  }
  TESSERA_HD void operator()(T g, T& p) const { p -= lr * (g + decay * p); }
  // With momentum; the buffer is 0 before the first step.
  TESSERA_HD void operator()(T g, T& p, T& buffer) const {
    buffer = momentum * buffer + (g + decay * p);
    p -= lr * buffer;
  }
};

}  // namespace
}  // namespace tessera::scalar
