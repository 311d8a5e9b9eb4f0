#include "models/sparseinst/criterion.h"

#include <algorithm>

#include "autograd/arrange.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "ops/arrange.h"
#include "ops/assignment.h"
#include "ops/matching.h"

namespace tessera::sparseinst {

namespace {

constexpr size_t kPairs = 1;  // of SparseInst::normalisers
constexpr double kFocalAlpha = 0.25, kFocalGamma = 2;
constexpr double kDiceEps = 1e-4;
constexpr double kIouPrediction = 0.4, kIouTarget = 0.5;

// [N Q, pixels] of the mask logits
Var mask_rows(const Output& output) {
  const Shape& s = output.masks.shape();
  return reshape(output.masks, {s[0] * s[1], s[2] * s[3]});
}

Tensor ious_of(const Tensor& logits, const Tensor& maps) {  // both [P, pixels]
  return ops::mask_ious(logits, maps, kIouPrediction, kIouTarget);
}

}  // namespace

Tensor matched_ious(const Output& output, const MaskTargets& targets, const Matches& matches) {
  const NoGrad no_grad;
  return ious_of(gather_rows(mask_rows(output), matches.queries).value(),
                 ops::gather_rows(targets.maps, matches.targets));
}

std::vector<LossTerm> loss_terms(const Output& output, const MaskTargets& targets, const Matches& matches,
                                 const LossConfig& config) {
  const i64 N = output.logits.dim(0), Q = output.logits.dim(1), K = output.logits.dim(2);
  const double T = static_cast<double>(std::max<i64>(1, targets.count()));
  std::vector<LossTerm> terms;

  const Tensor labels =
      ops::indicator_matrix(matches.queries, ops::gather_rows(targets.classes, matches.targets), N * Q, K);
  terms.push_back({"loss_ce", sigmoid_focal_loss(output.logits, labels.reshape({N, Q, K}), kFocalAlpha, kFocalGamma,
                                                 Reduction::kSum) *
                                  (config.class_weight / T)});

  // Without any pair these are means and sums over nothing: 0, with gradients of 0.
  const Var masks = gather_rows(mask_rows(output), matches.queries);  // [P, h w]
  const Tensor maps = ops::gather_rows(targets.maps, matches.targets);

  if (config.objectness != ObjectnessLoss::kNone) {
    const Var scores = gather_rows(reshape(output.objectness, {N * Q}), matches.queries);  // [P]
    const Tensor ious = ious_of(masks.value(), maps);
    const Var loss = config.objectness == ObjectnessLoss::kCe
                         ? binary_cross_entropy_with_logits(scores, ious, Reduction::kMean)
                         : l1_loss(sigmoid(scores), ious, Reduction::kMean);
    terms.push_back({"loss_objectness", loss * config.objectness_weight, kPairs});
  }
  if (config.mask != MaskLoss::kBce)
    terms.push_back({"loss_dice", dice_loss(masks, maps, kDiceEps, Reduction::kSum) * (config.dice_weight / T)});
  if (config.mask != MaskLoss::kDice) {
    const Var loss = config.mask == MaskLoss::kDiceFocal
                         ? sigmoid_focal_loss(masks, maps, kFocalAlpha, kFocalGamma, Reduction::kMean)
                         : binary_cross_entropy_with_logits(masks, maps, Reduction::kMean);
    terms.push_back({"loss_mask", loss * config.pixel_weight, kPairs});
  }
  return terms;
}

}  // namespace tessera::sparseinst
