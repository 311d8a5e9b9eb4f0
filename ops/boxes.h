// Boxes [N, 4] as x1, y1, x2, y2, f32 or f64: overlap, the generalised IoU loss (Rezatofighi et al. 2019, algorithm 1)
// and the extended one (Peng and Yu 2021), non-maximum suppression. As torchvision; the extended loss as mmdet.
//
//   area(a)  = (x2 - x1) (y2 - y1)          I(a, b) = the area where both are, 0 when they do not overlap
//   U(a, b)  = area(a) + area(b) - I        C(a, b) = the area of the smallest box around both
//   iou      = I / U                        giou    = iou - (C - U) / C
//
// Degenerate boxes are taken as they are: a box of no area has iou 0 with others and NaN (0 / 0) with a box that has
// none either; one whose corners are exchanged counts with its signed area; NaN gives NaN.
#pragma once

#include "ops/kernel_table.h"
#include "ops/losses.h"

namespace tessera::ops {

// Every a with every b: a [N, 4], b [M, 4] -> [N, M].
using PairwiseBoxKernel = void(const Tensor& a, const Tensor& b, Tensor& y);
inline constinit KernelTable<PairwiseBoxKernel> box_iou_kernels{"box_iou"};
Tensor box_iou(const Tensor& a, const Tensor& b);
inline constinit KernelTable<PairwiseBoxKernel> generalized_box_iou_kernels{"generalized_box_iou"};
Tensor generalized_box_iou(const Tensor& a, const Tensor& b);

// Row by row: a and b [N, 4] -> the iou of a[i] with b[i], [N].
inline constinit KernelTable<PairwiseBoxKernel> paired_box_iou_kernels{"paired_box_iou"};
Tensor paired_box_iou(const Tensor& a, const Tensor& b);

// Row by row, a and b [N, 4]: loss = 1 - I / (U + eps) + (C - U) / (C + eps), here I = 0 unless the overlap is positive
// along both axes. Reduction as in ops/losses.h. The gradient is that of a; where two edges coincide, a's edge takes
// half of the gradient.
using BoxLossKernel = void(const Tensor& a, const Tensor& b, double eps, Tensor& y);
using BoxLossBackwardKernel = void(const Tensor& gy, const Tensor& a, const Tensor& b, double eps, double scale,
                                   Tensor& ga);
inline constinit KernelTable<BoxLossKernel> generalized_box_iou_loss_kernels{"generalized_box_iou_loss"};
inline constinit KernelTable<BoxLossBackwardKernel> generalized_box_iou_loss_backward_kernels{
    "generalized_box_iou_loss_backward"};  // gy [N], or one number for all rows
Tensor generalized_box_iou_loss(const Tensor& a, const Tensor& b, double eps, Reduction reduction);
Tensor generalized_box_iou_loss_backward(const Tensor& gy, const Tensor& a, const Tensor& b, double eps,
                                         Reduction reduction);

// Row by row, in the same way: I goes on below zero where boxes are apart, and keeps a gradient. With the inner corners
// of the pair (ix1, iy1) = max, (ix2, iy2) = min, the outer one (ex1, ey1) = min, and (xmin, xmax) = ix1, ix2 in order:
//   I = (ix2 - ex1) (iy2 - ey1) + (xmin - ex1) (ymin - ey1) - (ix1 - ex1) (ymax - ey1) - (xmax - ex1) (iy1 - ey1)
//   e = 1 - I / (U + eps),   loss = e^2 / (2 b) where e < b, else e - b / 2;   b = 0.1
// For boxes that overlap, I is as above.
inline constinit KernelTable<BoxLossKernel> extended_box_iou_loss_kernels{"extended_box_iou_loss"};
inline constinit KernelTable<BoxLossBackwardKernel> extended_box_iou_loss_backward_kernels{
    "extended_box_iou_loss_backward"};
Tensor extended_box_iou_loss(const Tensor& a, const Tensor& b, double eps, Reduction reduction);
Tensor extended_box_iou_loss_backward(const Tensor& gy, const Tensor& a, const Tensor& b, double eps,
                                      Reduction reduction);

// Greedy suppression: by decreasing score, among equal scores the lowest index first, a box is kept unless one kept
// before has iou > threshold with it (strictly, in the boxes' precision). boxes [N, 4], scores [N] -> indices of the
// kept boxes, i64 [K], by decreasing score. A NaN score stands before all others, as in sort; a box with NaN suppresses
// none and is suppressed by none.
//
// batched_nms: only boxes with the same label, i64 [N], suppress each other. The labels are taken apart exactly;
// nothing is added to coordinates.
using NmsKernel = void(const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold, Tensor& keep,
                       i64& count);
inline constinit KernelTable<NmsKernel> nms_kernels{"nms"};  // keep [N], of which the first `count` are written
Tensor nms(const Tensor& boxes, const Tensor& scores, double threshold);
Tensor batched_nms(const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold);

}  // namespace tessera::ops
