// The four corners of a bilinear sample, over the channels of NHWC pixels.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

template <class T>
struct BilinearKernels {
  // out[c] = sum over k of weights[k] * corners[k][c].
  void (*blend)(const T* const corners[4], const T weights[4], i64 channels, T* out);
  // dots[k] += sum over c of corners[k][c] * g[c].
  void (*dot)(const T* const corners[4], const T* g, i64 channels, T dots[4]);
  // corners[k][c] += weights[k] * g[c], where corners[k] is not null.
  void (*scatter)(T* const corners[4], const T weights[4], const T* g, i64 channels);
};

inline constinit FloatTables<BilinearKernels> bilinear_kernels;

}  // namespace tessera::simd
