// The inner loops of softmax, compiled per SIMD level (softmax.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

inline constexpr i64 kSoftmaxColumns = 32;  // columns treated together

// Along r < rows of x[r * stride + c], for each column c < columns <= kSoftmaxColumns; stride 1: one contiguous row.
template <class T>
using Softmax = void(const T* x, T* y, i64 rows, i64 stride, i64 columns);
template <class T>
using SoftmaxBackward = void(const T* gy, const T* y, T* gx, i64 rows, i64 stride, i64 columns);

// F: the operator's struct in ops/scalar/softmax.h
template <class F>
inline constinit FloatTables<Softmax> softmax;
template <class F>
inline constinit FloatTables<SoftmaxBackward> softmax_backward;

}  // namespace tessera::simd
