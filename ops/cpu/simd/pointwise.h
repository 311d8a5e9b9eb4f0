// The inner loops of the pointwise operators, compiled per SIMD level (pointwise.cpp beside this file). Pointers may be
// equal (in place) but must not overlap otherwise.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

template <class T>
using Unary = void(const T* x, T* y, long n);
template <class T>
using UnaryScalar = void(const T* x, T value, T* y, long n);
template <class T>
using UnaryBackward = void(const T* gy, const T* x_or_y, T* gx, long n);
template <class T>
using Binary = void(const T* a, long step_a, const T* b, long step_b, T* y, long n);  // steps 0 or 1

inline constinit FloatTables<Unary> relu, relu6, sigmoid, tanh, gelu, silu, exp, log, softplus, sqrt;
inline constinit FloatTables<Unary> add_into;  // y += x
inline constinit FloatTables<UnaryScalar> add_scalar, mul_scalar, clamp_min;
inline constinit FloatTables<UnaryBackward> relu_backward, relu6_backward, sigmoid_backward, tanh_backward,
    gelu_backward, silu_backward, log_backward, softplus_backward, sqrt_backward;
inline constinit FloatTables<Binary> add, sub, mul, div, add_relu;

}  // namespace tessera::simd
