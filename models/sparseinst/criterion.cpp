#include "models/sparseinst/criterion.h"

#include <fmt/ranges.h>

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "ops/arrange.h"
#include "ops/matching.h"

namespace tessera {

namespace {

constexpr double kFocalAlpha = 0.25, kFocalGamma = 2;
constexpr double kDiceEps = 1e-4;
constexpr double kIouPrediction = 0.4, kIouTarget = 0.5;

// The matched pairs of all pictures as rows of [N Q, ...] and of the target maps.
struct Pairs {
  std::vector<i64> rows, targets;
};

Pairs flatten(const std::vector<Matches>& matches, const SparseInstTargets& targets, i64 num_queries) {
  Pairs pairs;
  for (size_t n = 0; n < matches.size(); ++n)
    for (size_t i = 0; i < matches[n].queries.size(); ++i) {
      pairs.rows.push_back(static_cast<i64>(n) * num_queries + matches[n].queries[i]);
      pairs.targets.push_back(targets.first[n] + matches[n].targets[i]);
    }
  return pairs;
}

// [N Q, pixels] of the mask logits
Var mask_rows(const SparseInstOutput& output) {
  const Shape& s = output.masks.shape();
  return reshape(output.masks, {s[0] * s[1], s[2] * s[3]});
}

Tensor ious_of(const Tensor& logits, const Tensor& maps) {  // both [P, pixels]
  return ops::mask_ious(logits, maps, kIouPrediction, kIouTarget);
}

void check_finite(const std::vector<LossTerm>& terms, const SparseInstTargets& targets) {
  for (const LossTerm& term : terms)
    TESSERA_CHECK(std::isfinite(term.value.value().item()), "sparseinst: {} is {}; the batch is {}", term.name,
                  term.value.value().item(), fmt::join(targets.names, ", "));
}

}  // namespace

Tensor matched_ious(const SparseInstOutput& output, const SparseInstTargets& targets,
                    const std::vector<Matches>& matches) {
  const NoGrad no_grad;
  const Pairs pairs = flatten(matches, targets, output.masks.dim(1));
  const Device device = targets.maps.device();
  return ious_of(gather_rows(mask_rows(output), Tensor::from(pairs.rows).to(device)).value(),
                 ops::gather_rows(targets.maps, Tensor::from(pairs.targets).to(device)));
}

std::vector<LossTerm> sparseinst_losses(const SparseInstOutput& output, const SparseInstTargets& targets,
                                        const std::vector<Matches>& matches, const LossConfig& config) {
  const Device device = output.logits.value().device();
  const i64 Q = output.logits.dim(1), K = output.logits.dim(2);
  const Pairs pairs = flatten(matches, targets, Q);
  const double T = static_cast<double>(std::max<i64>(1, targets.count()));
  std::vector<LossTerm> terms;

  Tensor labels = Tensor::zeros(output.logits.shape());  // [N, Q, K]
  for (size_t i = 0; i < pairs.rows.size(); ++i)
    labels.data<float>()[pairs.rows[i] * K + targets.classes[static_cast<size_t>(pairs.targets[i])]] = 1;
  terms.push_back(
      {"loss_ce", sigmoid_focal_loss(output.logits, labels.to(device), kFocalAlpha, kFocalGamma, Reduction::kSum) *
                      (config.class_weight / T)});

  // Without any pair these are means and sums over nothing: 0, with gradients of 0.
  const Tensor rows = Tensor::from(pairs.rows).to(device);
  const Var masks = gather_rows(mask_rows(output), rows);  // [P, h w]
  const Tensor maps = ops::gather_rows(targets.maps, Tensor::from(pairs.targets).to(device));

  if (config.objectness != ObjectnessLoss::kNone) {
    const Var scores = gather_rows(reshape(output.objectness, {output.logits.dim(0) * Q}), rows);  // [P]
    const Tensor ious = ious_of(masks.value(), maps);
    const Var loss = config.objectness == ObjectnessLoss::kCe
                         ? binary_cross_entropy_with_logits(scores, ious, Reduction::kMean)
                         : l1_loss(sigmoid(scores), ious, Reduction::kMean);
    terms.push_back({"loss_objectness", loss * config.objectness_weight});
  }
  if (config.mask != MaskLoss::kBce)
    terms.push_back({"loss_dice", dice_loss(masks, maps, kDiceEps, Reduction::kSum) * (config.dice_weight / T)});
  if (config.mask != MaskLoss::kDice) {
    const Var loss = config.mask == MaskLoss::kDiceFocal
                         ? sigmoid_focal_loss(masks, maps, kFocalAlpha, kFocalGamma, Reduction::kMean)
                         : binary_cross_entropy_with_logits(masks, maps, Reduction::kMean);
    terms.push_back({"loss_mask", loss * config.pixel_weight});
  }
  check_finite(terms, targets);
  return terms;
}

}  // namespace tessera
