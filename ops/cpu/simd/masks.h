// The inner loops that enlarge and threshold masks, compiled per SIMD level (masks.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// out[i] = sum over k < count of weights[k] rows[k][i] in this order, i < n; 1 <= count <= 4
template <class T>
using WeightedRows = void(const T* const* rows, const T* weights, i64 count, i64 n, T* out);

// The places i < n where a value lies on the other side of the limit (above, or not) than the one before it, plus
// `base`; `above` tells the side of the value before the first, and afterwards that of the last. `places` has n
// elements.
template <class T>
using MaskEdges = void(const T* values, T limit, i64 n, u32 base, bool* above, u32* places, i64* count);

inline constinit FloatTables<WeightedRows> weighted_rows;
inline constinit FloatTables<MaskEdges> mask_edges;

}  // namespace tessera::simd
