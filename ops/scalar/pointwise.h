// The pointwise operators, each a struct: its name, its formula at one element and its derivative. From the lists at
// the end of this page follow the tables of ops/pointwise.h, their kernels on every device and the derivatives of
// autograd/.
//
// m has the elementary functions as the caller computes them: Math of ops/cpu/simd/elementary.h, Libm of
// ops/scalar/libm.h. Numbers are float or double, like the arguments: a constant that is no integer is written T(0.5).
// There are no branches, only selections, so that loops over a formula become vectors. Comparisons are turned so that
// NaN takes the side that keeps it; in the derivatives it takes the side that stops the gradient (ops/pointwise.h).
//
// The structs are known to all files, because the tables are named by them. Their functions are nonetheless local to
// each SIMD file, as ops/cpu/simd/simd_table.h demands: m's type, which is local there, is part of theirs.
#pragma once

#include "ops/scalar/host_device.h"
#include "ops/scalar/operators.h"

namespace tessera::scalar {

// --- One argument, y = of(x). gradient(gy, x) or gradient(gy, y), whichever is cheaper, is gy times the derivative.
struct FromX {
  static constexpr bool kFromY = false;
};
struct FromY {
  static constexpr bool kFromY = true;
};

// max(x, 0)
struct Relu : FromY {
  static constexpr const char* kName = "relu";
  TESSERA_HD static auto of(auto, auto x) { return x < 0 ? 0 : x; }
  TESSERA_HD static auto gradient(auto, auto gy, auto y) { return y > 0 ? gy : 0; }
};

// min(max(x, 0), 6)
struct Relu6 : FromY {
  static constexpr const char* kName = "relu6";
  TESSERA_HD static auto of(auto, auto x) { return x < 0 ? 0 : x > 6 ? 6 : x; }
  TESSERA_HD static auto gradient(auto, auto gy, auto y) { return (y > 0) & (y < 6) ? gy : 0; }
};

// x, below 0 times 0.01: PyTorch's default slope
struct LeakyRelu : FromY {
  static constexpr const char* kName = "leaky_relu";
  template <class T>
  TESSERA_HD static T of(auto, T x) {
    return x > 0 ? x : T(0.01) * x;
  }
  template <class T>
  TESSERA_HD static T gradient(auto, T gy, T y) {
    return y > 0 ? gy : T(0.01) * gy;
  }
};

// 1 / (1 + exp(-x))
struct Sigmoid : FromY {
  static constexpr const char* kName = "sigmoid";
  TESSERA_HD static auto of(auto m, auto x) { return m.sigmoid(x); }
  TESSERA_HD static auto gradient(auto, auto gy, auto y) { return gy * (y * (1 - y)); }
};

struct Tanh : FromY {
  static constexpr const char* kName = "tanh";
  TESSERA_HD static auto of(auto m, auto x) { return m.tanh(x); }
  TESSERA_HD static auto gradient(auto, auto gy, auto y) { return gy * (1 - y * y); }
};

// x Phi(x), Phi the standard normal distribution function (Hendrycks & Gimpel 2016, not the tanh form)
struct Gelu : FromX {
  static constexpr const char* kName = "gelu";
  template <class T>
  TESSERA_HD static T of(auto m, T x) {
    return x * m.normal_cdf(x, m.exp(T(-0.5) * x * x));
  }
  template <class T>
  TESSERA_HD static T gradient(auto m, T gy, T x) {
    const T e = m.exp(T(-0.5) * x * x);
    return gy * (m.normal_cdf(x, e) + x * e * T(0.39894228040143267794));  // 1 / sqrt(2 pi)
  }
};

// x sigmoid(x)
struct Silu : FromX {
  static constexpr const char* kName = "silu";
  TESSERA_HD static auto of(auto m, auto x) { return x * m.sigmoid(x); }
  TESSERA_HD static auto gradient(auto m, auto gy, auto x) {
    const auto s = m.sigmoid(x);
    return gy * (s * (1 + x * (1 - s)));
  }
};

struct Exp : FromY {
  static constexpr const char* kName = "exp";
  TESSERA_HD static auto of(auto m, auto x) { return m.exp(x); }
  TESSERA_HD static auto gradient(auto, auto gy, auto y) { return gy * y; }
};

struct Log : FromX {
  static constexpr const char* kName = "log";
  TESSERA_HD static auto of(auto m, auto x) { return m.log(x); }
  TESSERA_HD static auto gradient(auto, auto gy, auto x) { return gy / x; }
};

// log(1 + exp(x))
struct Softplus : FromX {
  static constexpr const char* kName = "softplus";
  TESSERA_HD static auto of(auto m, auto x) { return (x < 0 ? 0 : x) + m.log1p(m.exp(-m.abs(x))); }
  TESSERA_HD static auto gradient(auto m, auto gy, auto x) { return gy * m.sigmoid(x); }
};

struct Sqrt : FromY {
  static constexpr const char* kName = "sqrt";
  TESSERA_HD static auto of(auto m, auto x) { return m.sqrt(x); }
  TESSERA_HD static auto gradient(auto, auto gy, auto y) { return gy / (2 * y); }
};

// The derivative of F as a formula of two arguments.
template <class F>
struct GradientOf {
  TESSERA_HD static auto of(auto m, auto gy, auto x_or_y) { return F::gradient(m, gy, x_or_y); }
};

// --- One argument and a number.
struct AddScalar {
  static constexpr const char* kName = "add_scalar";
  TESSERA_HD static auto of(auto, auto x, auto value) { return x + value; }
};

struct MulScalar {
  static constexpr const char* kName = "mul_scalar";
  TESSERA_HD static auto of(auto, auto x, auto value) { return x * value; }
};

// max(x, lowest)
struct ClampMin {
  static constexpr const char* kName = "clamp_min";
  TESSERA_HD static auto of(auto, auto x, auto lowest) { return x < lowest ? lowest : x; }
  TESSERA_HD static auto gradient(auto, auto gy, auto x, auto lowest) { return x >= lowest ? gy : 0; }
};

// --- Two arguments.
struct Add {
  static constexpr const char* kName = "add";
  TESSERA_HD static auto of(auto, auto a, auto b) { return a + b; }
};

struct Sub {
  static constexpr const char* kName = "sub";
  TESSERA_HD static auto of(auto, auto a, auto b) { return a - b; }
};

struct Mul {
  static constexpr const char* kName = "mul";
  TESSERA_HD static auto of(auto, auto a, auto b) { return a * b; }
};

struct Div {
  static constexpr const char* kName = "div";
  TESSERA_HD static auto of(auto, auto a, auto b) { return a / b; }
};

// max(a + b, 0)
struct AddRelu {
  static constexpr const char* kName = "add_relu";
  TESSERA_HD static auto of(auto m, auto a, auto b) { return Relu::of(m, a + b); }
};

// --- The families.
using Unary = Operators<Relu, Relu6, LeakyRelu, Sigmoid, Tanh, Gelu, Silu, Exp, Log, Softplus, Sqrt>;
using WithNumber = Operators<AddScalar, MulScalar, ClampMin>;
using Binary = Operators<Add, Sub, Mul, Div, AddRelu>;

}  // namespace tessera::scalar
