// Boundary-aware refinement (BAR): RefineMask's finer stages count where the boundary is, nowhere else.
//
// Four stages have logits in S x S cells, S = 14, 28, 56, 112. The masks of the first two are theirs alone. From then
// on a stage replaces the mask of the stage before within its boundary, boundary(., 1), and beyond it the stage before
// is interpolated; it is trained in the wider boundary(., 2) of the mask before and of that mask's target. What lies in
// a finer stage's boundary is decided there, by bilinear interpolation (align_corners) of the map of 0 and 1.
//                                                                              Zhang et al. 2021, section 3.3, code
#pragma once

#include <array>

#include "autograd/var.h"

namespace tessera::roi_heads {

inline constexpr i64 kStages = 4;
using StageLogits = std::array<Var, kStages>;      // f32 [R, S, S, 1]
using StageTargets = std::array<Tensor, kStages>;  // f32 [R, S, S, 1], 0 or 1

// The binary cross-entropy of each stage, without weights: the mean over all cells of the first two, over those in the
// region of the last two, 0 where it is empty.
std::array<Var, kStages> refinement_losses(const StageLogits& logits, const StageTargets& targets);

// The logits of the last stage, those of the stages before where they count -> [R, 112, 112, 1].
Tensor refined_logits(const StageLogits& logits);

}  // namespace tessera::roi_heads
