// From the mask logits of a picture's queries to what a result file holds: runs in the size of the picture, and how
// sure the masks are. f32 or f64; inference only. With p = sigmoid(masks):
//
//   mask_runs   P[k, Y, X] = sum_s columns.weight[X, s] (sum_t rows.weight[Y, t] p[k, rows.index[Y, t],
//                                                                                     columns.index[X, s]])
//               the mask is P > threshold, strictly; NaN is not in it
//   maskness    sum of those p[k, y, x] > threshold / (their number + 1e-6)
//
// A resize that is linear along each axis, or several of them and cuts in a row, is such weights: four are two bilinear
// resizes. The enlarged P exists nowhere, and of a mask only its runs leave the operator.
//
// P is summed in the order of the weights, each product and each sum rounded by itself, so that it has the same bits on
// every device where p has: a constant map does not fall on either side of its own value. The sigmoid may differ in its
// last bits.
//
// Runs as in the COCO mask API: pixels are read column by column, runs alternate outside, inside, outside, ..., the
// first one is outside and the only one that may be empty. maskness: SparseInst's rescoring_mask.
//
// `kept`, u8 [M], says by anything but 0 which masks are asked for; undefined: all. The others have no runs, maskness
// 0, and cost nothing. So a device may choose them, and the host need not know how many they are.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

inline constexpr i64 kAxisWeights = 4;

// One axis of a resize from `in` to `out` positions.
struct AxisWeights {
  Tensor index;   // [out, 4] i32, each in [0, in)
  Tensor weight;  // [out, 4], the masks' dtype; the first 0 and what follows it is not read
};

struct MaskRuns {
  Tensor ends;     // i32: where the runs end, counted in pixels. Those of mask k are [offsets[k], offsets[k + 1]); the
                   // last of them is the number of the picture's pixels
  Tensor offsets;  // [M + 1] i64
};

// masks [M, h, w] logits -> M masks of rows.out x columns.out pixels. M may be 0, all other sizes not. An index outside
// is an error on the CPU; on other devices, where the host does not see it, p is 0 there.
//
// The number T = offsets[M] of runs is known when they have been computed, and a device is not waited for: ends has
// room for the first `room` of them, T may be more; on the CPU it has all. T < 2^31.
MaskRuns mask_runs(const Tensor& masks, const Tensor& kept, const AxisWeights& rows, const AxisWeights& columns,
                   double threshold, i64 room);

// masks [M, h, w] logits -> [M]; 0 for a mask with nothing above the threshold
Tensor maskness(const Tensor& masks, const Tensor& kept, double threshold);

// The kernel of mask_runs allocates `ends`. offsets is given as zeros.
using MaskRunsKernel = void(const Tensor& masks, const Tensor& kept, const Tensor& row_index, const Tensor& row_weight,
                            const Tensor& column_index, const Tensor& column_weight, double threshold, i64 room,
                            Tensor& offsets, Tensor& ends);
inline constinit KernelTable<MaskRunsKernel> mask_runs_kernels{"mask_runs"};
using MasknessKernel = void(const Tensor& masks, const Tensor& kept, double threshold, Tensor& y);
inline constinit KernelTable<MasknessKernel> maskness_kernels{"maskness"};

}  // namespace tessera::ops
