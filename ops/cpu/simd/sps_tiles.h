// The transforms of Winograd's F(2x2, 3x3) on rows of features: four outputs from sixteen inputs with 16 products in
// place of 36 (Lavin and Gray 2016, section 4.1). Rows lie anywhere; the 16 transformed ones lie `stride` apart.
//
//   Y = A' [(G g G') * (B' d B)] A       d 4x4 inputs, g 3x3 weights, Y 2x2 outputs, ' transposes, * element by element
//
//        1  0 -1  0          1   0   0           1  0
//   B' = 0  1  1  0     G = 1/2 1/2 1/2     A =  1  1
//        0 -1  1  0         1/2-1/2 1/2          1 -1
//        0  1  0 -1          0   0   1           0 -1
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

template <class T>
struct SpsTileKernels {
  // out[k * stride + c] = (B' d B)[k][c] with d[k][c] = rows[k][offset + c], c < channels.
  void (*input)(const T* const rows[16], i64 offset, i64 channels, T* out, i64 stride);
  // rows[k][c] = act((A' m A)[k][c] + bias[c]) with m[k][c] = m[k * stride + c]; rows and bias may be null.
  void (*output)(const T* m, i64 stride, const T* bias, bool relu, i64 channels, T* const rows[4]);
  // out[k * stride + c] = (A g A')[k][c] with g[k][c] = rows[k][c]: the gradient of m.
  void (*output_gradient)(const T* const rows[4], i64 channels, T* out, i64 stride);
  // rows[k][c] += (B g B')[k][c] with g[k][c] = v[k * stride + c], the gradient of B' d B; rows may be null, or the
  // same.
  void (*add_input_gradient)(const T* v, i64 stride, i64 channels, T* const rows[16]);
  // out[c] += x[c] for c < count.
  void (*add)(const T* x, i64 count, T* out);
  // out[c] = act(bias[c] + the sum of the nine rows[k][c]); bias may be null.
  void (*sum_positions)(const T* const rows[9], const T* bias, bool relu, i64 channels, T* out);
};

inline constinit FloatTables<SpsTileKernels> sps_tile_kernels;

}  // namespace tessera::simd
