// The inner loops that enlarge and threshold masks, compiled per SIMD level (masks.cpp beside this file).
#pragma once

#include <cstdint>

#include "ops/cpu/simd/simd_table.h"

namespace tessera::simd {

// out[i] = sum over k < count of weights[k] rows[k][i], i < n; 1 <= count <= 4
using WeightedRows = void(const float* const* rows, const float* weights, long count, long n, float* out);

// The places i < n where a value lies on the other side of the limit (above, or not) than the one before it, plus
// `base`; `above` tells the side of the value before the first, and afterwards that of the last. `places` has n
// elements.
using MaskEdges = void(const float* values, float limit, long n, std::uint32_t base, bool* above, std::uint32_t* places,
                       long* count);

inline constinit SimdTable<WeightedRows> weighted_rows;
inline constinit SimdTable<MaskEdges> mask_edges;

}  // namespace tessera::simd
