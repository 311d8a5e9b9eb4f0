// Differentiable pointwise operators; ops/pointwise.h states each formula.
#pragma once

#include "autograd/var.h"

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

Var relu(const Var& x);
Var relu6(const Var& x);
Var sigmoid(const Var& x);
Var tanh(const Var& x);
Var gelu(const Var& x);                          // exact: x Phi(x)
Var silu(const Var& x);
Var exp(const Var& x);
Var log(const Var& x);
Var softplus(const Var& x);
Var sqrt(const Var& x);

inline Var operator+(const Var& a, const Var& b) { return add(a, b); }
inline Var operator-(const Var& a, const Var& b) { return sub(a, b); }
inline Var operator*(const Var& a, const Var& b) { return mul(a, b); }
inline Var operator/(const Var& a, const Var& b) { return div(a, b); }
inline Var operator*(const Var& x, double value) { return mul_scalar(x, value); }
inline Var operator*(double value, const Var& x) { return mul_scalar(x, value); }
inline Var operator+(const Var& x, double value) { return add_scalar(x, value); }

}  // namespace tessera
