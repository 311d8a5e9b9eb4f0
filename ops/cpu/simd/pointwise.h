// The inner loops of the pointwise operators, compiled per SIMD level (pointwise.cpp beside this file). Pointers may be
// equal (in place) but must not overlap otherwise.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

template <class T>
using Unary = void(const T* x, T* y, i64 n);
template <class T>
using UnaryScalar = void(const T* x, T value, T* y, i64 n);
template <class T>
using UnaryBackward = void(const T* gy, const T* x_or_y, T* gx, i64 n);
template <class T>
using Binary = void(const T* a, i64 step_a, const T* b, i64 step_b, T* y, i64 n);  // steps 0 or 1

// F: the operator's struct in ops/scalar/pointwise.h
template <class F>
inline constinit FloatTables<Unary> unary;
template <class F>
inline constinit FloatTables<UnaryScalar> unary_scalar;
template <class F>
inline constinit FloatTables<UnaryBackward> unary_backward;
template <class F>
inline constinit FloatTables<Binary> binary;
inline constinit FloatTables<Unary> add_into;  // y += x

}  // namespace tessera::simd
