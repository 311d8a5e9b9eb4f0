// The inner loops of multi-scale deformable attention: where the corners of the samples lie, and sums over them.
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// The samples of one query and head, [levels, points] = `samples` numbers each.
template <class T>
struct DeformAttnPlan {
  const T *width, *height;  // of the sample's level, in pixels
  const i64 *level, *line;  // elements from the first token to the level's first pixel, and from one row to the next
  i64 pixel;                // elements from one pixel to the next
  i64 samples, channels;
};

// What corners() tells. Lists of 4 x samples: top left, top right, bottom left and bottom right corners.
template <class T>
struct DeformAttnCorners {
  T** at;           // where the corner's channels begin
  T* weight;        // bilinear, times the sample's attention; of no meaning for a corner outside
  T *right, *down;  // per sample: how far right of and below the top left corner
};

template <class T>
struct DeformAttnKernels {
  // Samples at `locations` [samples, 2] among the tokens that begin at `tokens`. Corners outside lie at `outside`.
  void (*corners)(const DeformAttnPlan<T>& plan, const T* locations, const T* attention, T* tokens, T* outside,
                  const DeformAttnCorners<T>& to);
  // y = sum over corners of weight *corner.
  void (*attend)(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, T* y);
  // The gradients of locations and attention from gy. `dots`: scratch, 4 x samples.
  void (*backward_weights)(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention,
                           const T* gy, T* dots, T* glocations, T* gattention);
  // *corner += weight gy, in order.
  void (*scatter)(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* gy);
};

inline constinit FloatTables<DeformAttnKernels> deform_attn_kernels;

}  // namespace tessera::simd
