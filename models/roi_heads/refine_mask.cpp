#include "models/roi_heads/refine_mask.h"

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/roi_heads/points.h"
#include "models/roi_heads/roi_features.h"
#include "nn/intermediates.h"
#include "nn/profile.h"

namespace tessera::roi_heads {

namespace {

constexpr std::array<i64, 3> kDilations = {1, 3, 5};
constexpr std::array<double, kStages> kWeights = {0.5, 0.75, 0.75, 1};
constexpr i64 kRefinements = kStages - 1;

nn::Conv2dConfig with_relu(i64 in, i64 out, i64 kernel = 1, i64 dilation = 1) {
  return {.in = in,
          .out = out,
          .kernel = kernel,
          .padding = kernel / 2 * dilation,
          .dilation = dilation,
          .activation = ops::Activation::kRelu,
          .init = nn::Init::kC2Msra};
}

}  // namespace

RefineStage::RefineStage(i64 width, i64 semantic_channels, Random& random)
    : semantic_in_(with_relu(semantic_channels, width), random), fuse_(with_relu(2 * width + 1, width), random) {
  for (const i64 dilation : kDilations) dilated_.emplace_back(with_relu(width, width, 3, dilation), random);
  merge_ = nn::Conv2d(with_relu(width, width), random);
  out_ = nn::Conv2d(with_relu(width, width / 2 - 1), random);
}

Var RefineStage::operator()(const Var& x, const Var& certainty, const Var& semantic, const Rois& rois) const {
  const nn::Running running(*this);
  const Var sampled = simple_roi_align(semantic_in_(semantic), rois, x.dim(1));  // [R, S, S, F]
  const Var z = fuse_(concat({x, sampled, certainty}, 3));                       // [R, S, S, F]
  Var fused = mean(z, {1, 2}, true);                                             // [R, 1, 1, F]
  for (const nn::Conv2d& conv : dilated_) fused = conv(z) + fused;               // [R, S, S, F]
  return concat({out_(merge_(fused)), certainty}, 3);                            // [R, S, S, F / 2]
}

void RefineStage::visit(nn::Visitor& v) {
  v.child("semantic_transform_in", semantic_in_);
  v.child("fuse_conv.0", fuse_);
  for (size_t i = 0; i < dilated_.size(); ++i)
    v.child(fmt::format("fuse_conv.1.dilation_conv_{}.conv", i + 1), dilated_[i]);
  v.child("fuse_conv.1.merge_conv.conv", merge_);
  v.child("fuse_transform_out", out_);
}

RefineMask::RefineMask(i64 channels, i64 num_classes, Random& random)
    : fusion_(channels, random), instance_(channels, 2, random), semantic_(channels, 4, random) {
  TESSERA_CHECK(channels % 8 == 0 && channels >= 16,
                "refine_mask: {} channels; they must be a multiple of 8 from 16 on", channels);
  for (i64 i = 0; i < kRefinements; ++i) {
    stages_.emplace_back(channels >> i, channels, random);
    logits_.emplace_back(nn::Conv2dConfig{.in = channels >> i, .out = num_classes}, random);
  }
  logits_.emplace_back(nn::Conv2dConfig{.in = channels >> kRefinements, .out = 1}, random);
}

StageLogits RefineMask::logits(const std::vector<Var>& maps, const Rois& rois) const {
  const nn::Running running(*this);
  StageLogits logits;
  Var x = roi_features(maps, rois, roi_levels(rois.boxes.value()), kCells);  // [R, 14, 14, C]
  x = instance_(fusion_(x, rois.queries));
  const Var semantic = semantic_(maps[0]);  // [B, h, w, C]
  for (size_t i = 0; i < stages_.size(); ++i) {
    logits[i] = select_class(logits_[i](x), rois.classes);                           // [R, S, S, 1]
    x = stages_[i](x, cast(sigmoid(logits[i]), x.value().dtype()), semantic, rois);  // [R, S, S, F / 2]
    const i64 S = 2 * x.dim(1);
    if (i + 1 < stages_.size()) x = interpolate(x, S, S, ops::Interpolation::kBilinear);
  }
  const Var last = cast(logits_.back()(x), DType::kF32);  // [R, 56, 56, 1]
  const i64 S = 2 * last.dim(1);
  logits.back() = interpolate(last, S, S, ops::Interpolation::kBilinear, true);  // [R, 112, 112, 1]
  for (size_t i = 0; i < logits.size(); ++i) nn::keep(fmt::format("preds.{}", i), logits[i]);
  return logits;
}

std::vector<LossTerm> RefineMask::losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                                         ImageSize /*padded*/, const StepContext& /*context*/) {
  const StageLogits predicted = logits(maps, rois);
  StageTargets wanted;
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = cell_targets(targets, rois.boxes.value(), predicted[i].dim(1));
  const std::array<Var, kStages> losses = refinement_losses(predicted, wanted);
  std::vector<LossTerm> terms;
  for (size_t i = 0; i < losses.size(); ++i)
    terms.push_back({fmt::format("loss_mask_{}", i), losses[i] * (kWeights[i] * static_cast<double>(targets.matches))});
  return terms;
}

Tensor RefineMask::probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize /*padded*/) {
  const NoGrad no_grad;
  const Tensor mask = refined_logits(logits(maps, rois));  // [R, 112, 112, 1]
  nn::keep("mask_logits", Var(mask));
  return ops::sigmoid(mask).reshape({rois.count(), mask.dim(1), mask.dim(2)});
}

void RefineMask::visit(nn::Visitor& v) {
  v.child("", fusion_);
  v.child("mask_head.instance_convs", instance_);
  v.child("mask_head.semantic_convs", semantic_);
  for (size_t i = 0; i < logits_.size(); ++i) v.child(fmt::format("mask_head.stage_instance_logits.{}", i), logits_[i]);
  for (size_t i = 0; i < stages_.size(); ++i) v.child(fmt::format("mask_head.stages.{}", i), stages_[i]);
}

}  // namespace tessera::roi_heads
