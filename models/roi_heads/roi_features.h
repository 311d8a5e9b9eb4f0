// From the pyramid to the RoIs, and from the objects' masks: what a mask head reads in and around its boxes.
//
// A RoI has a level of the pyramid, by the size of its box w x h (Lin et al. 2017, eq. 1, from 56 = 14 cells of P2 on):
//   l = clamp(floor(log2(sqrt(w h) / 56 + 1e-6)), 0, 3)                 map P(2 + l), at stride 4 2^l
//                                                              Picron and Tuytelaars, EffSeg, section 3 and code
#pragma once

#include "autograd/var.h"
#include "models/roi_heads/mask_head.h"

namespace tessera::roi_heads {

inline constexpr i64 kRoiLevels = 4;  // P2 .. P5
inline constexpr i64 kFinestStride = 4;

// boxes [R, 4] -> i64 [R], on their device. A box without area has level 0.
Tensor roi_levels(const Tensor& boxes);

// RoIAlign of every RoI on the map of its level: aligned, as many points per bin as it has pixels -> [R, S, S, C]. No
// gradient to the boxes.
Var roi_features(const std::vector<Var>& maps, const Rois& rois, const Tensor& levels, i64 S);

// Places in boxes, at [P, 2] from 0 (left, top) to 1 (right, bottom) of box roi[p], as parts of a picture or map of
// that extent -> [P, 2]. The gradient is that of the boxes.
Var points_in_boxes(const Var& boxes, const Tensor& roi, const Tensor& at, ImageSize extent);

// The maps at points [P, 2], parts of the picture image[p]: bilinear, each point on the map of its level -> [P, C].
Var sample_levels(const std::vector<Var>& maps, const Tensor& levels, const Tensor& image, const Var& points);

// The masks of the RoIs' objects, averaged over the S x S cells of each box -> [R, S, S, 1], 1 where all of a cell is
// in the object. masks [T, H, W, 1] and boxes [R, 4] in the same pixels, object i64 [R].
Tensor crop_masks(const Tensor& masks, const Tensor& object, const Tensor& boxes, i64 S);

}  // namespace tessera::roi_heads
