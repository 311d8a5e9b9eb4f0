// Points in RoIs: where PointRend looks closer, and the cell centres of RefineMask's sampling of the finest map.
#pragma once

#include "models/roi_heads/mask_head.h"

namespace tessera::roi_heads {

// As many points in each of R boxes, those of a box one after the other: P in all.
struct Points {
  Tensor roi;  // i64 [P]
  Tensor at;   // f32 [P, 2], x and y from 0 (left, top) to 1 (right, bottom) of the box
};
Points points_of(const Tensor& at);  // f32 [R, points, 2]

// The centres of S x S cells, row by row -> f32 [S S, 2].
Tensor cell_centres(i64 S, Device device);

// Bilinear samples of the finest map, P2, its pixels taken to be kFinestStride wide [B, h, w, C] -> [P, C]. No gradient
// to the boxes.
Var sample_finest(const Var& map, const Rois& rois, const Points& points);

// RoIAlign with one sample per cell, at its centre, of P2 whatever the size of the box -> [R, S, S, C].
//                                                                              mmdet's SimpleRoIAlign
Var simple_roi_align(const Var& map, const Rois& rois, i64 S);

// -|logit|: the larger, the less certain. Any shape.
Tensor uncertainty(const Tensor& logits);

}  // namespace tessera::roi_heads
