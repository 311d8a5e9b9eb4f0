// What the active cells of a stage are to learn, from the masks of the RoIs' objects.
//
// With G the part of a cell that lies in the object (RoIAlign of the mask, S x S cells per box):
//   seg   1 where G > 1/2                    rule roialign: the code's
//         1 where the mask at the cell's centre, bilinear, is > 1/2              rule center: the paper's
//   ref   1 where eps < G < 1 - eps: the cell has both. G of a full cell is 1 but for the rounding of its mean, so with
//         eps = 0, the code's rule, the inside of an object is marked at random.
#pragma once

#include "models/effseg/stage.h"

namespace tessera::effseg {

struct StageTargets {
  Tensor seg, ref;  // f32 [N_A], 0 or 1
};

// crop: G of all cells, f32 [R, S, S, 1]. Intermediates: target_value.<stage>, G of the active cells.
StageTargets stage_targets(const HeadConfig& config, const ops::SpsStructure& structure, const Tensor& crop,
                           const roi_heads::RoiTargets& targets, const Tensor& boxes);

// f32 of 0 and 1: x > value
Tensor above(const Tensor& x, double value);

}  // namespace tessera::effseg
