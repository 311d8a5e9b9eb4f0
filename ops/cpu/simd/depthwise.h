// One row of a depthwise convolution: every channel has its own kernel, vectors run over channels.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// Output pixel j reads image pixel j * step + offset_w[t] of image row rows[t].
template <class T>
struct DepthwiseRow {
  i64 channels, width;  // of the image
  i64 outputs, step;    // output pixels of the row, image pixels per output pixel
  i64 positions;
  const T* const* rows;  // [positions] start of the image row the position reads
  const i64* offset_w;   // [positions]
};

// out[j * pitch + c] = act(bias[c] + sum over t of x(t, j, c) * weights[t][c] + residual[j * pitch + c])
template <class T>
struct DepthwiseOutput {
  T* out;
  i64 pitch;
  const T* const* weights;  // [positions] rows of [channels]
  const T* bias;            // [channels] or null
  const T* residual;        // or null
  bool relu;                // min(max(., 0), ceiling)
  T ceiling;
};

template <class T>
struct DepthwiseKernels {
  void (*forward)(const DepthwiseRow<T>& row, const DepthwiseOutput<T>& output);
  // sums[t][c] += sum over j of x(t, j, c) * gy[j * channels + c].
  void (*weight)(const DepthwiseRow<T>& row, const T* gy, T* const* sums);
};

inline constinit FloatTables<DepthwiseKernels> depthwise_kernels;

}  // namespace tessera::simd
