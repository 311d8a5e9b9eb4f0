// What the heads share that predict a mask for every class: Mask R-CNN++, PointRend++, RefineMask++.
#pragma once

#include "models/roi_heads/mask_head.h"

namespace tessera::roi_heads {

inline constexpr i64 kCells = 14;  // of a RoI's features along each axis

// Of the logits of all K classes that of the RoI's own: [R, H, W, K], classes i64 [R] -> f32 [R, H, W, 1].
Var select_class(const Var& logits, const Tensor& classes);

// What the S x S cells of the boxes should say: 1 where at least half of a cell is in the object -> f32 [R, S, S, 1].
// The boxes are cut off at the edges of the masks before.                    Detectron's mask targets, as in mmdet
Tensor cell_targets(const RoiTargets& targets, const Tensor& boxes, i64 S);

// The mean over logits and targets of one shape, for all matched queries: their number times it. f32 scalar.
Var mask_loss(const Var& logits, const Tensor& wanted, const RoiTargets& targets);

}  // namespace tessera::roi_heads
