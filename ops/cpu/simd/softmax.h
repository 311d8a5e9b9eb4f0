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

inline constexpr double kSmallestSum = 1e-6;  // ops::kSmallestSum
inline constinit FloatTables<Softmax> softmax, log_softmax, normalised_sigmoid;
inline constinit FloatTables<SoftmaxBackward> softmax_backward, log_softmax_backward, normalised_sigmoid_backward;

}  // namespace tessera::simd
