// From the mask logits of chosen queries to what a result file holds: run lengths in the size of the picture, and how
// sure the masks are. f32 or f64; inference only. With p[k] = sigmoid(masks[queries[k]]):
//
//   mask_runs   P[k, Y, X] = sum_s columns.weight[X, s] (sum_t rows.weight[Y, t] p[k, rows.index[Y, t],
//                                                                                     columns.index[X, s]])
//               the mask is P > threshold, strictly; NaN is not in it
//   maskness    sum of those p[k, y, x] > threshold / (their number + 1e-6)
//
// A resize that is linear along each axis, or several of them and cuts in a row, is such weights: four are two bilinear
// resizes. The enlarged P exists nowhere, and of a mask only its run lengths leave the operator.
//
// P is summed in the order of the weights, each product and each sum rounded by itself, so that it has the same bits on
// every device where p has: a constant map does not fall on either side of its own value. The sigmoid may differ in its
// last bits.
//
// Run lengths as in the COCO mask API: pixels are read column by column, runs alternate outside, inside, outside, ...,
// the first one is outside and the only one that may be empty. maskness: SparseInst's rescoring_mask.
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
  Tensor runs;     // [T] i32: those of mask k are [offsets[k], offsets[k + 1]) and add up to the picture's pixels
  Tensor offsets;  // [K + 1] i64
};

// masks [M, h, w] logits, queries i64 [K] -> K masks of rows.out x columns.out pixels. K may be 0, all other sizes not;
// T < 2^31. A query or an index outside is an error on the CPU; on other devices, where the host does not see it, p is
// 0 there.
MaskRuns mask_runs(const Tensor& masks, const Tensor& queries, const AxisWeights& rows, const AxisWeights& columns,
                   double threshold);

// masks [M, h, w] logits, queries i64 [K] -> [K]; 0 for a mask with nothing above the threshold
Tensor maskness(const Tensor& masks, const Tensor& queries, double threshold);

// The kernel of mask_runs allocates `runs`: only it knows how many there are. offsets is given as zeros.
using MaskRunsKernel = void(const Tensor& masks, const Tensor& queries, const Tensor& row_index,
                            const Tensor& row_weight, const Tensor& column_index, const Tensor& column_weight,
                            double threshold, Tensor& offsets, Tensor& runs);
inline constinit KernelTable<MaskRunsKernel> mask_runs_kernels{"mask_runs"};
using MasknessKernel = void(const Tensor& masks, const Tensor& queries, double threshold, Tensor& y);
inline constinit KernelTable<MasknessKernel> maskness_kernels{"maskness"};

}  // namespace tessera::ops
