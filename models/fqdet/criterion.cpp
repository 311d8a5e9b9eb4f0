#include "models/fqdet/criterion.h"

#include "autograd/arrange.h"
#include "autograd/boxes.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "models/fqdet/boxes.h"
#include "ops/arrange.h"
#include "ops/boxes.h"
#include "ops/pointwise.h"

namespace tessera::fqdet {

namespace {

constexpr double kFocalAlpha = 0.25, kFocalGamma = 2;
constexpr double kScoreEps = 1e-3;

// The one-hot classes, those of the matched queries times the IoU of their box: [N, K + 1].
Tensor quality_targets(const Tensor& one_hot, const Tensor& query, const Tensor& ious) {
  const i64 N = one_hot.dim(0);
  const Tensor missing = ops::scatter_add_rows(ops::add_scalar(ious, -1), query, N);  // iou - 1, or 0 without a match
  return ops::mul(one_hot, ops::add_scalar(missing, 1).reshape({N, 1}));
}

}  // namespace

Tensor score_targets(const Tensor& ious) {
  const Tensor rest = ops::add_scalar(ops::mul_scalar(ious, -1), 1);
  return ops::log(ops::div(ops::clamp_min(ious, kScoreEps), ops::clamp_min(rest, kScoreEps)));
}

std::vector<LossTerm> loss_terms(const Output& output, const Tensor& selection_targets, const GroundTruth& truth,
                                 const QueryMatches& matched, const Config& config) {
  const LossConfig& weight = config.loss;
  const auto& [query, object] = matched.matches;
  const auto focal = [](const Var& logits, const Tensor& targets) {
    return sigmoid_focal_loss(logits, targets, kFocalAlpha, kFocalGamma, Reduction::kSum);
  };
  const Tensor one_hot = ops::gather_rows(truth.one_hot, matched.owner);  // [N, K + 1]
  const Tensor anchors = ops::gather_rows(output.anchors, query), boxes = ops::gather_rows(truth.boxes, object);
  const Var deltas = gather_rows(output.deltas, query);  // [M, 4]

  std::vector<LossTerm> terms = {{"loss_sel", focal(output.selection, selection_targets) * weight.selection_weight}};
  Tensor ious;  // of the predicted boxes [M]
  if (config.form == Form::kRelease || output.box_scores)
    ious = ops::paired_box_iou(decode(deltas.detach(), anchors).value(), boxes);
  if (config.form == Form::kPaper) {
    terms.push_back({"loss_cls", focal(output.class_logits, one_hot) * weight.class_weight});
    terms.push_back({"loss_box", l1_loss(deltas, encode(boxes, anchors), Reduction::kSum) * weight.box_weight});
  } else {
    const Tensor targets = quality_targets(one_hot, query, ious);
    terms.push_back(
        {"loss_cls", quality_focal_loss(output.class_logits, targets, Reduction::kSum) * weight.class_weight});
    terms.push_back(
        {"loss_box", extended_box_iou_loss(decode(deltas, anchors), boxes, Reduction::kSum) * weight.box_weight});
  }
  if (output.box_scores)
    terms.push_back(
        {"loss_score",
         l1_loss(gather_rows(output.box_scores, query), score_targets(ious), Reduction::kSum) * weight.score_weight});
  return terms;
}

}  // namespace tessera::fqdet
