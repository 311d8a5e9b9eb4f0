// The inner loops of multi-scale deformable attention: where the corners of the samples lie, and sums over them.
#pragma once

#include <cstdint>

#include "ops/cpu/simd/float_tables.h"

namespace tessera {

using i64 = std::int64_t;

// All samples of one query, [heads, levels, points] = `samples` numbers each.
template <class T>
struct DeformAttnPlan {
  const T *width, *height;  // of the sample's level, in pixels
  const i64 *level, *line;  // elements from an image's first token to the level's first pixel of the sample's head, and
                            // from one row of pixels to the next
  i64 pixel;                // elements from one pixel to the next
  i64 heads, head_size;     // head_size channels each
  i64 samples, head_samples;  // of all heads, of one
};

// What corners() tells of `count` samples: each list has 4 parts, of the top left, top right, bottom left and bottom
// right corners, `count` apart.
template <class T>
struct DeformAttnCorners {
  T** at;           // where the corner's channels begin
  T* weight;        // bilinear; of no meaning for a corner outside, which points to zeros
  T *right, *down;  // per sample: how far right of and below the top left corner
};

template <class T>
struct DeformAttnKernels {
  // Samples [first, first + count) of a query at `locations` [samples, 2], of an image of tokens that begins at
  // `image`. Corners outside lie at `outside`.
  void (*corners)(const DeformAttnPlan<T>& plan, const T* locations, i64 first, i64 count, T* image, T* outside,
                  const DeformAttnCorners<T>& to);
  // y[m, :] = sum over corners and samples s of head m of attention[s] weight[corner] *corner, for all heads.
  void (*attend)(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention, T* y);
  // The gradients of one query's locations and attention from gy [heads, head_size]. `dots`: scratch, 4 x samples.
  void (*backward_weights)(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention,
                           const T* gy, T* dots, T* glocations, T* gattention);
  // *corner += attention[s] weight[corner] gy for the `head_samples` samples of one head, in order.
  void (*scatter)(const DeformAttnPlan<T>& plan, const DeformAttnCorners<T>& corners, const T* attention, const T* gy);
};

template <class T>
using FillDeformAttnKernels = void(DeformAttnKernels<T>& kernels);
inline constinit simd::FloatTables<FillDeformAttnKernels> deform_attn_kernels_table;

}  // namespace tessera
