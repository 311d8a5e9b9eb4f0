// The transforms of Winograd's F(4x4, 3x3), a vector of channels at a time; docs/winograd.md derives them.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

inline constexpr int kWinogradTile = 4;   // outputs of a tile, per axis
inline constexpr int kWinogradPatch = 6;  // the pixels that they see, per axis
inline constexpr int kWinogradProducts = kWinogradPatch * kWinogradPatch;

// The points 0, +-a, +-b and infinity. All coefficients that follow from them are exact in f32.
inline constexpr double kWinogradA = 0.625, kWinogradB = 1.5;

// y[r * row_pitch + s * pixel_pitch + c] = act(bias[c] + (A^T M A)[r, s] + residual), for r < rows, s < columns.
template <class T>
struct WinogradOutput {
  const T* m;  // M[p] of channel c = m[p * slice + c]
  i64 slice, channels;
  T* y;
  const T* residual;  // laid out as y, or null
  i64 row_pitch, pixel_pitch;
  i64 rows, columns;
  const T* bias;  // [channels] or null
  bool relu;      // min(max(., 0), ceiling)
  T ceiling;
};

template <class T>
struct WinogradKernels {
  // v[p * slice + c] = (B^T d B)[p], where d[p] = pixels[p][c], for c < channels.
  void (*input)(const T* const* pixels, i64 channels, T* v, i64 slice);
  void (*output)(const WinogradOutput<T>& output);
  // u[p * slice + i * stride + l] = (G w G^T)[p] for i < count and each of a vector's lanes l, in f64, where
  // w[t] = w[(t * count + i) * lanes + l].
  void (*weight)(const T* w, i64 count, T* u, i64 slice, i64 stride);
};

inline constinit FloatTables<WinogradKernels> winograd_kernels;

}  // namespace tessera::simd
