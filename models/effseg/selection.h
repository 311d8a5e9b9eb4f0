// Which active cells the next stage refines.                               Picron and Tuytelaars, EffSeg,   section 3.2
//
// At most k of all active cells, whatever their RoI; passive ones never come back. branch: those with the largest
// refinement logit. uncertainty: with the smallest |segmentation logit|. boundary: with the smallest among those in the
// boundary of the mask so far, in training also among those in the boundary of the object's mask, so perhaps fewer than
// k.
#pragma once

#include "models/effseg/stage.h"

namespace tessera::effseg {

// u8 [N_A], or undefined where all are chosen. boundary: f32 [R, S, S, 1] of 0 and 1, for this rule.
Tensor choose_cells(const HeadConfig& config, const StageLogits& logits, const Tensor& boundary);

// The mask of the stage before at twice its size, bilinear, overwritten where this stage has logits: f32 [R, S, S, 1].
// `before` is undefined for the first stage, which has all cells.
Tensor refined_mask(const Tensor& before, const StageLogits& logits);

}  // namespace tessera::effseg
