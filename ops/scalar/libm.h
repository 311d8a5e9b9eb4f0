// The elementary functions that the formulas of ops/scalar/ ask for, from libm: for CUDA's kernels, plain C++ and ports.
// The CPU's vector code has its own (ops/cpu/simd/elementary.h).
#pragma once

#include <cmath>

#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

struct Libm {
  TESSERA_HD static auto abs(auto x) { return std::abs(x); }
  TESSERA_HD static auto sqrt(auto x) { return std::sqrt(x); }
  TESSERA_HD static auto exp(auto x) { return std::exp(x); }
  TESSERA_HD static auto log(auto x) { return std::log(x); }
  TESSERA_HD static auto log1p(auto x) { return std::log1p(x); }
  TESSERA_HD static auto pow(auto x, auto exponent) { return std::pow(x, exponent); }
  TESSERA_HD static auto tanh(auto x) { return std::tanh(x); }
  // 1 / (1 + e^-x)
  TESSERA_HD static auto sigmoid(auto x) { return 1 / (1 + std::exp(-x)); }
  // The standard normal distribution Phi(x), whose density without its factor, exp(-x^2 / 2), is not needed here: erfc
  // keeps its precision where x is far below 0.
  template <class T>
  TESSERA_HD static T normal_cdf(T x, T) {
    return T(0.5) * std::erfc(-x * T(0.70710678118654752440));
  }
};

}  // namespace
}  // namespace tessera::scalar
