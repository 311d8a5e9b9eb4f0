// Pointwise operators: y[i] = f(x[i]) and y[i] = f(a[i], b[i]), each with its backward.
//
// dtypes: f32, f64 and bf16 (ops/dtypes.h); both arguments of a binary operator have the same. NaN in gives NaN out.
// f32 functions are within a relative error of 1e-6 of the exact value, whatever the size of x, infinities and denormals
// included; a result below the smallest normal number, 1.2e-38, may be 0. Two are worse in their far tail: gelu below -2
// is within 2e-5, because x^2 / 2 is rounded before its exponential is taken, and silu below -88, where its value is less
// than 3e-37, may be 0.
//
// A backward takes gy = d(loss)/dy and whichever of x and y makes it cheapest, and returns gx = gy * f'(x).
#pragma once

#include "ops/kernel_table.h"

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

// --- Two arguments, with broadcasting as NumPy's: shapes are aligned at the last dimension, sizes of 1 are repeated.
// Shapes that do not fit are an error that names both.
inline constinit BinaryTable add_kernels{"add"};
inline constinit BinaryTable sub_kernels{"sub"};
inline constinit BinaryTable mul_kernels{"mul"};
inline constinit BinaryTable div_kernels{"div"};
Tensor add(const Tensor& a, const Tensor& b);  // a + b
Tensor sub(const Tensor& a, const Tensor& b);  // a - b
Tensor mul(const Tensor& a, const Tensor& b);  // a b
Tensor div(const Tensor& a, const Tensor& b);  // a / b

// max(a + b, 0) in one pass, the end of a residual block; its backward is relu_backward, for both arguments.
inline constinit BinaryTable add_relu_kernels{"add_relu"};
Tensor add_relu(const Tensor& a, const Tensor& b);

// The shape that `a` and `b` broadcast to; `op` is named in the error.
Shape broadcast_shape(const Shape& a, const Shape& b, const char* op);

// x repeated to `shape`, which x's shape must broadcast to; x itself when it has that shape already.
inline constinit KernelTable<void(const BroadcastDims& dims, const Tensor& x, Tensor& y)> broadcast_to_kernels{
    "broadcast_to"};
Tensor broadcast_to(const Tensor& x, const Shape& shape);

// target += term, same shape: how gradients accumulate.
inline constinit KernelTable<void(const Tensor& term, Tensor& target)> add_into_kernels{"add_into"};
void add_into(Tensor& target, const Tensor& term);

// --- One argument and a number.
inline constinit UnaryScalarTable add_scalar_kernels{"add_scalar"};
inline constinit UnaryScalarTable mul_scalar_kernels{"mul_scalar"};
inline constinit UnaryScalarTable clamp_min_kernels{"clamp_min"};
Tensor add_scalar(const Tensor& x, double value);  // x + value
Tensor mul_scalar(const Tensor& x, double value);  // x value
Tensor clamp_min(const Tensor& x, double lowest);  // max(x, lowest)

// gx = gy where x >= lowest, else 0 (as PyTorch: the boundary passes)
inline constinit KernelTable<void(const Tensor& gy, const Tensor& x, double lowest, Tensor& gx)>
    clamp_min_backward_kernels{"clamp_min_backward"};
Tensor clamp_min_backward(const Tensor& gy, const Tensor& x, double lowest);

// 1 where x >= value, else 0 (also for NaN), as u8
inline constinit UnaryScalarTable greater_equal_kernels{"greater_equal"};
Tensor greater_equal(const Tensor& x, double value);

// --- One argument.
inline constinit UnaryTable relu_kernels{"relu"};
inline constinit UnaryTable relu6_kernels{"relu6"};
inline constinit UnaryTable sigmoid_kernels{"sigmoid"};
inline constinit UnaryTable tanh_kernels{"tanh"};
inline constinit UnaryTable gelu_kernels{"gelu"};
inline constinit UnaryTable silu_kernels{"silu"};
inline constinit UnaryTable exp_kernels{"exp"};
inline constinit UnaryTable log_kernels{"log"};
inline constinit UnaryTable softplus_kernels{"softplus"};
inline constinit UnaryTable sqrt_kernels{"sqrt"};
Tensor relu(const Tensor& x);     // max(x, 0)
Tensor relu6(const Tensor& x);    // min(max(x, 0), 6)
Tensor sigmoid(const Tensor& x);  // 1 / (1 + exp(-x))
Tensor tanh(const Tensor& x);
Tensor gelu(
    const Tensor& x);  // x Phi(x), Phi the normal distribution function; Hendrycks & Gimpel 2016, not the tanh form
Tensor silu(const Tensor& x);  // x sigmoid(x)
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);  // natural; -infinity at 0, NaN below
Tensor softplus(
    const Tensor& x);          // log(1 + exp(x)), without PyTorch's switch to x above 20: the difference is below 3e-9
Tensor sqrt(const Tensor& x);  // NaN below 0

// --- Their backwards. At kinks as PyTorch: relu'(0) = relu6'(0) = relu6'(6) = 0. Where y is NaN, relu and relu6 give 0
// (PyTorch gives gy).
inline constinit UnaryBackwardTable relu_backward_kernels{"relu_backward"};
inline constinit UnaryBackwardTable relu6_backward_kernels{"relu6_backward"};
inline constinit UnaryBackwardTable sigmoid_backward_kernels{"sigmoid_backward"};
inline constinit UnaryBackwardTable tanh_backward_kernels{"tanh_backward"};
inline constinit UnaryBackwardTable gelu_backward_kernels{"gelu_backward"};
inline constinit UnaryBackwardTable silu_backward_kernels{"silu_backward"};
inline constinit UnaryBackwardTable log_backward_kernels{"log_backward"};
inline constinit UnaryBackwardTable softplus_backward_kernels{"softplus_backward"};
inline constinit UnaryBackwardTable sqrt_backward_kernels{"sqrt_backward"};
Tensor relu_backward(const Tensor& gy, const Tensor& y);      // gy where y > 0, else 0
Tensor relu6_backward(const Tensor& gy, const Tensor& y);     // gy where 0 < y < 6, else 0
Tensor sigmoid_backward(const Tensor& gy, const Tensor& y);   // gy y (1 - y)
Tensor tanh_backward(const Tensor& gy, const Tensor& y);      // gy (1 - y^2)
Tensor gelu_backward(const Tensor& gy, const Tensor& x);      // gy (Phi(x) + x phi(x)), phi the normal density
Tensor silu_backward(const Tensor& gy, const Tensor& x);      // gy s (1 + x (1 - s)), s = sigmoid(x)
Tensor exp_backward(const Tensor& gy, const Tensor& y);       // gy y
Tensor log_backward(const Tensor& gy, const Tensor& x);       // gy / x
Tensor softplus_backward(const Tensor& gy, const Tensor& x);  // gy sigmoid(x)
Tensor sqrt_backward(const Tensor& gy, const Tensor& y);      // gy / (2 y)

}  // namespace tessera::ops
