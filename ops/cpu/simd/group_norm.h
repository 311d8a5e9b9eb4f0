// The inner loops of group normalisation, compiled per SIMD level (group_norm.cpp beside this file). All work on some
// rows of C channels; everything named by a channel is [C].
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// mean[c] = the mean over the rows, squares[c] = sum of (x - mean)^2; rows > 0
template <class T>
using ColumnMoments = void(const T* x, i64 rows, i64 C, T* mean, T* squares);
// sums[c] = sum of gy, products[c] = sum of gy (x - mean)
template <class T>
using ColumnProducts = void(const T* gy, const T* x, const T* mean, i64 rows, i64 C, T* sums, T* products);
// y = (x - mean) scale + bias
template <class T>
using Normalise = void(const T* x, const T* mean, const T* scale, const T* bias, i64 rows, i64 C, T* y);
// gx = gy scale - shift - (x - mean) slope
template <class T>
using NormaliseBackward = void(const T* gy, const T* x, const T* mean, const T* scale, const T* shift, const T* slope,
                               i64 rows, i64 C, T* gx);

inline constinit FloatTables<ColumnMoments> column_moments;
inline constinit FloatTables<ColumnProducts> column_products;
inline constinit FloatTables<Normalise> normalise;
inline constinit FloatTables<NormaliseBackward> normalise_backward;

}  // namespace tessera::simd
