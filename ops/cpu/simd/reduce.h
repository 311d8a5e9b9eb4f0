// The inner loops of reductions, compiled per SIMD level (reduce.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

inline constexpr i64 kReduceColumns = 32;  // columns summed together, so that their sums stay in registers

// sums[c] = sum_r x[r * stride + c] for c < columns <= kReduceColumns; stride 1: the sum of one row
template <class T>
using Sum = void(const T* x, i64 rows, i64 stride, i64 columns, double* sums);
template <class T>
using SumOfSquares = void(const T* x, i64 n, double* sum);
template <class T>
using AllFinite = void(const T* x, i64 n, bool* finite);

inline constinit FloatTables<Sum> sum;
inline constinit FloatTables<SumOfSquares> sum_of_squares;
inline constinit FloatTables<AllFinite> all_finite;

}  // namespace tessera::simd
