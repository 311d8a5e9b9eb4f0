// Differentiable pointwise operators; ops/pointwise.h states each formula.
#pragma once

#include "autograd/var.h"
#include "ops/pointwise.h"

namespace tessera {

// The same values in another element type; x itself when it has that type. The gradient is converted back.
Var cast(const Var& x, DType dtype);

// Binary, with broadcasting as NumPy's: shapes are aligned at the last dimension, sizes of 1 are repeated.
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
Var add_relu(const Var& a, const Var& b);        // max(a + b, 0) in one pass, same shapes (the end of a residual block)
Var add_scalar(const Var& x, double value);
Var mul_scalar(const Var& x, double value);
Var clamp_min(const Var& x, double lowest);      // gradient 1 where x >= lowest, else 0
Var broadcast_to(const Var& x, const Shape& shape);  // sizes of 1 repeated, absent first ones taken as 1

// y = F(x), F a struct of ops/scalar/pointwise.h; its backward keeps x or y, as F says.
Var unary(const ops::UnaryTable& kernels, const ops::UnaryBackwardTable& backward, bool from_y, const Var& x);
template <class F>
Var unary(const Var& x) {
  return unary(ops::unary_kernels<F>, ops::unary_backward_kernels<F>, F::kFromY, x);
}
inline Var relu(const Var& x) { return unary<scalar::Relu>(x); }
inline Var relu6(const Var& x) { return unary<scalar::Relu6>(x); }
inline Var leaky_relu(const Var& x) { return unary<scalar::LeakyRelu>(x); }
inline Var sigmoid(const Var& x) { return unary<scalar::Sigmoid>(x); }
inline Var tanh(const Var& x) { return unary<scalar::Tanh>(x); }
inline Var gelu(const Var& x) { return unary<scalar::Gelu>(x); }
inline Var silu(const Var& x) { return unary<scalar::Silu>(x); }
inline Var exp(const Var& x) { return unary<scalar::Exp>(x); }
inline Var log(const Var& x) { return unary<scalar::Log>(x); }
inline Var softplus(const Var& x) { return unary<scalar::Softplus>(x); }
inline Var sqrt(const Var& x) { return unary<scalar::Sqrt>(x); }

inline Var operator+(const Var& a, const Var& b) { return add(a, b); }
inline Var operator-(const Var& a, const Var& b) { return sub(a, b); }
inline Var operator*(const Var& a, const Var& b) { return mul(a, b); }
inline Var operator/(const Var& a, const Var& b) { return div(a, b); }
inline Var operator*(const Var& x, double value) { return mul_scalar(x, value); }
inline Var operator*(double value, const Var& x) { return mul_scalar(x, value); }
inline Var operator+(const Var& x, double value) { return add_scalar(x, value); }

}  // namespace tessera
