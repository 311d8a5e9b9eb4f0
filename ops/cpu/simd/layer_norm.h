// The inner loops of layer normalisation, compiled per SIMD level (layer_norm.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// `rows` rows of n > 0 values.
template <class T>
using LayerNorm = void(const T* x, const T* weight, const T* bias, double eps, i64 rows, i64 n, T* mean, T* rstd, T* y);
// gweight and gbias [n]: what these rows add to them, written, not added.
template <class T>
using LayerNormBackward = void(const T* gy, const T* x, const T* weight, const T* mean, const T* rstd, i64 rows, i64 n,
                               T* gweight, T* gbias, T* gx);

inline constinit FloatTables<LayerNorm> layer_norm;
inline constinit FloatTables<LayerNormBackward> layer_norm_backward;

}  // namespace tessera::simd
