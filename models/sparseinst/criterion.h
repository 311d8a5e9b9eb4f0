// The training loss of SparseInst (section 3.4): focal loss on the classes of all queries; dice and pixel losses on the
// masks, and an objectness loss towards the mask's IoU, on the matched queries.
#pragma once

#include <vector>

#include "models/segmenter.h"
#include "models/sparseinst/matcher.h"

namespace tessera::sparseinst {

// loss_ce, loss_objectness, loss_dice, loss_mask: the terms that the configuration has, weights applied.
//
// T = max(1, targets of the batch), P matched pairs, t soft target maps:
//   loss_ce          class_weight      / T    sum of the sigmoid focal loss (alpha 0.25, gamma 2) over [N, Q, K]
//   loss_objectness  objectness_weight / P    sum of BCE (or |sigmoid - iou|) towards iou, unmatched queries left out
//   loss_dice        dice_weight       / T    sum of 1 - dice
//   loss_mask        pixel_weight      / P h w  sum of BCE (or focal loss) over pairs and pixels
// A batch without targets has a loss_ce alone; the others are 0, with gradients of 0.
std::vector<LossTerm> loss_terms(const Output& output, const MaskTargets& targets, const Matches& matches,
                                 const LossConfig& config);

// IoU of each matched pair, in the order of the pictures and pairs: prediction sigmoid >= 0.4, target > 0.5;
// intersection / (union + 1e-6).
Tensor matched_ious(const Output& output, const MaskTargets& targets, const Matches& matches);

}  // namespace tessera::sparseinst
