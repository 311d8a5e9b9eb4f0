// Pointwise operators: y[i] = f(x[i]) and y[i] = f(a[i], b[i]), each with its backward.
//
// dtypes: f32, f64 and bf16 (ops/dtypes.h); both arguments of a binary operator have the same. NaN in gives NaN out.
// f32 functions are within a relative error of 1e-6 of the exact value, whatever the size of x, infinities and denormals
// included; a result below the smallest normal number, 1.2e-38, may be 0. Two are worse in their far tail: gelu below -2
// is within 2e-5, because x^2 / 2 is rounded before its exponential is taken, and silu below -88, where its value is less
// than 3e-37, may be 0.
//
// Name, formula and derivative of each stand in ops/scalar/pointwise.h. A backward takes gy = d(loss)/dy and whichever
// of x and y makes it cheapest, and returns gx = gy * f'(x).
#pragma once

#include "ops/activation.h"
#include "ops/kernel_table.h"
#include "ops/scalar/pointwise.h"

namespace tessera::ops {

// Two (or one) arguments walked together over the elements of y: sizes of y after neighbouring dimensions that behave
// alike are merged, and the step of each argument per dimension, 0 where it is repeated. The last dimension is a run
// with steps 0 or 1, so equal shapes are one run, and a bias [C] under [N, H, W, C] is two dimensions.
struct BroadcastDims {
  int rank = 0;
  i64 size[Shape::kMaxRank] = {};
  i64 step_a[Shape::kMaxRank] = {}, step_b[Shape::kMaxRank] = {};
};

using UnaryTable = KernelTable<void(const Tensor& x, Tensor& y)>;
using UnaryScalarTable = KernelTable<void(const Tensor& x, double value, Tensor& y)>;
using UnaryBackwardTable = KernelTable<void(const Tensor& gy, const Tensor& x_or_y, Tensor& gx)>;
using BinaryTable = KernelTable<void(const BroadcastDims& dims, const Tensor& a, const Tensor& b, Tensor& y)>;

// The tables of the families, by the operator's struct F.
template <class F>
inline constinit UnaryTable unary_kernels{F::kName};
template <class F>
inline constinit UnaryBackwardTable unary_backward_kernels{kBackwardName<F>.data()};
template <class F>
inline constinit UnaryScalarTable unary_scalar_kernels{F::kName};
template <class F>
inline constinit BinaryTable binary_kernels{F::kName};

Tensor unary(const UnaryTable& kernels, const Tensor& x);
Tensor unary_backward(const UnaryBackwardTable& kernels, const Tensor& gy, const Tensor& x_or_y);
Tensor unary_scalar(const UnaryScalarTable& kernels, const Tensor& x, double value);
Tensor binary(const BinaryTable& kernels, const Tensor& a, const Tensor& b);

template <class F>
Tensor unary(const Tensor& x) {
  return unary(unary_kernels<F>, x);
}
template <class F>
Tensor unary_backward(const Tensor& gy, const Tensor& x_or_y) {
  return unary_backward(unary_backward_kernels<F>, gy, x_or_y);
}
template <class F>
Tensor unary_scalar(const Tensor& x, double value) {
  return unary_scalar(unary_scalar_kernels<F>, x, value);
}
template <class F>
Tensor binary(const Tensor& a, const Tensor& b) {
  return binary(binary_kernels<F>, a, b);
}

// clang-format off
// --- One argument.
inline Tensor relu(const Tensor& x) { return unary<scalar::Relu>(x); }            // max(x, 0)
inline Tensor relu6(const Tensor& x) { return unary<scalar::Relu6>(x); }          // min(max(x, 0), 6)
inline Tensor leaky_relu(const Tensor& x) { return unary<scalar::LeakyRelu>(x); }  // x > 0 ? x : 0.01 x
inline Tensor sigmoid(const Tensor& x) { return unary<scalar::Sigmoid>(x); }      // 1 / (1 + exp(-x))
inline Tensor tanh(const Tensor& x) { return unary<scalar::Tanh>(x); }
inline Tensor gelu(const Tensor& x) { return unary<scalar::Gelu>(x); }            // x Phi(x), not the tanh form
inline Tensor silu(const Tensor& x) { return unary<scalar::Silu>(x); }            // x sigmoid(x)
inline Tensor exp(const Tensor& x) { return unary<scalar::Exp>(x); }
inline Tensor log(const Tensor& x) { return unary<scalar::Log>(x); }              // natural; -infinity at 0, NaN below
inline Tensor softplus(const Tensor& x) { return unary<scalar::Softplus>(x); }    // log(1 + exp(x)); PyTorch's, which is
                                                                                  // x above 20, differs by 3e-9
inline Tensor sqrt(const Tensor& x) { return unary<scalar::Sqrt>(x); }            // NaN below 0

// --- Their backwards, unary_backward<F>(gy, y) or (gy, x). At kinks as PyTorch: relu'(0) = relu6'(0) = relu6'(6) = 0.
// Where y is NaN, relu and relu6 give 0 (PyTorch gives gy).
inline Tensor relu_backward(const Tensor& gy, const Tensor& y) { return unary_backward<scalar::Relu>(gy, y); }
inline Tensor relu6_backward(const Tensor& gy, const Tensor& y) { return unary_backward<scalar::Relu6>(gy, y); }
// The gradient before an activation, from gy after it and its result y; gy itself where there is none.
inline Tensor activation_backward(const Tensor& gy, const Tensor& y, Activation activation) {
  if (activation == Activation::kNone) return gy;
  return activation == Activation::kRelu6 ? relu6_backward(gy, y) : relu_backward(gy, y);
}

// --- One argument and a number: x + value, x value, max(x, lowest).
inline Tensor add_scalar(const Tensor& x, double value) { return unary_scalar<scalar::AddScalar>(x, value); }
inline Tensor mul_scalar(const Tensor& x, double value) { return unary_scalar<scalar::MulScalar>(x, value); }
inline Tensor clamp_min(const Tensor& x, double lowest) { return unary_scalar<scalar::ClampMin>(x, lowest); }

// --- Two arguments, with broadcasting as NumPy's: shapes are aligned at the last dimension, sizes of 1 are repeated.
// Shapes that do not fit are an error that names both.
inline Tensor add(const Tensor& a, const Tensor& b) { return binary<scalar::Add>(a, b); }
inline Tensor sub(const Tensor& a, const Tensor& b) { return binary<scalar::Sub>(a, b); }
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary<scalar::Mul>(a, b); }
inline Tensor div(const Tensor& a, const Tensor& b) { return binary<scalar::Div>(a, b); }
// clang-format on

// max(a + b, 0) in one pass for equal shapes, the end of a residual block; its backward is relu_backward, for both.
Tensor add_relu(const Tensor& a, const Tensor& b);

// --- Others.
// The shape that `a` and `b` broadcast to; `op` is named in the error.
Shape broadcast_shape(const Shape& a, const Shape& b, const char* op);

// x repeated to `shape`, which x's shape must broadcast to; x itself when it has that shape already.
inline constinit KernelTable<void(const BroadcastDims& dims, const Tensor& x, Tensor& y)> broadcast_to_kernels{
    "broadcast_to"};
Tensor broadcast_to(const Tensor& x, const Shape& shape);

// target += term, same shape: how gradients accumulate.
inline constinit KernelTable<void(const Tensor& term, Tensor& target)> add_into_kernels{"add_into"};
void add_into(Tensor& target, const Tensor& term);

// gx = gy where x >= lowest, else 0 (as PyTorch: the boundary passes)
inline constinit KernelTable<void(const Tensor& gy, const Tensor& x, double lowest, Tensor& gx)>
    clamp_min_backward_kernels{"clamp_min_backward"};
Tensor clamp_min_backward(const Tensor& gy, const Tensor& x, double lowest);

// 1 where x >= value, else 0 (also for NaN), as u8
inline constinit UnaryScalarTable greater_equal_kernels{"greater_equal"};
Tensor greater_equal(const Tensor& x, double value);

}  // namespace tessera::ops
