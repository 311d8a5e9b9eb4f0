// Masks of boxes pasted into the picture, f32 or f64; inference only.
//
//   p[r, Y, X] = masks[r] at u = (X + 1/2 - x0) / (x1 - x0), v = (Y + 1/2 - y0) / (y1 - y0)
//
// bilinear between the h x w cells around column u w - 1/2 and row v h - 1/2 (0 and 1 are the outer edges of the mask),
// where cells outside count as 0: beyond the box p fades out over half a cell. Where u or v is not finite, as in a box
// without width or with a coordinate that is not finite, p is 0. A box with x1 < x0 pastes its mask mirrored.
//
// What is predicted is p > threshold, strictly. No picture of p exists: what an evaluator asks of it, the sum over the
// predicted pixels and their number, comes with the masks; the mask-weighted score of a detection with class score s is
// s sums / (areas + 1e-6).
//
// Source: Detectron2's paste_masks_in_image, which is a grid_sample with align_corners=False.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct PastedMasks {
  Tensor masks;    // [R, height, width] u8, 0 or 1
  Tensor regions;  // [R, 4] i64 (x0, y0, x1, y1): outside columns x0 <= X < x1 and rows y0 <= Y < y1 all of p is 0
  Tensor areas;    // [R] i64: predicted pixels
  Tensor sums;     // [R], the masks' dtype: the sum of p over them
};

// masks [R, h, w], boxes [R, 4] (x0, y0, x1, y1) in pixels of the picture. R may be 0, all other sizes not.
PastedMasks paste_masks(const Tensor& masks, const Tensor& boxes, i64 height, i64 width, double threshold = 0.5);

using PasteMasksKernel = void(const Tensor& masks, const Tensor& boxes, double threshold, Tensor& regions,
                              Tensor& areas, Tensor& sums, Tensor& pasted);
inline constinit KernelTable<PasteMasksKernel> paste_masks_kernels{
    "paste_masks", [](const Tensor&, const Tensor&, double, Tensor&, Tensor&, Tensor&, Tensor& pasted) {
      return Work{0, 4 * pasted.numel()};
    }};

}  // namespace tessera::ops
