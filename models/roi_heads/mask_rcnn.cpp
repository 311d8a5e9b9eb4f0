#include "models/roi_heads/mask_rcnn.h"

#include "autograd/pointwise.h"
#include "models/roi_heads/roi_features.h"
#include "nn/intermediates.h"
#include "nn/profile.h"

namespace tessera::roi_heads {

ClassMasks::ClassMasks(i64 channels, i64 num_classes, Random& random)
    : convs_(channels, 4, random),
      upsample_({.in = channels, .out = channels, .kernel = 2, .stride = 2}, random),
      logits_({.in = channels, .out = num_classes}, random) {}

Var ClassMasks::operator()(const Var& features) const {
  const nn::Running running(*this);
  const Var x = relu(upsample_(convs_(features)));  // [R, 2S, 2S, C]
  return logits_(x);                                // [R, 2S, 2S, K]
}

void ClassMasks::visit(nn::Visitor& v) {
  v.child("convs", convs_);
  v.child("upsample", upsample_);
  v.child("conv_logits", logits_);
}

MaskRcnn::MaskRcnn(i64 channels, i64 num_classes, Random& random)
    : fusion_(channels, random), mask_head_(channels, num_classes, random) {}

Var MaskRcnn::logits(const std::vector<Var>& maps, const Rois& rois) const {
  const nn::Running running(*this);
  const Var x = roi_features(maps, rois, roi_levels(rois.boxes.value()), kCells);  // [R, 14, 14, C]
  const Var fused = fusion_(x, rois.queries);
  const Var logits = mask_head_(fused);  // [R, 28, 28, K]
  nn::keep("fused", fused);
  nn::keep("logits", logits);
  return select_class(logits, rois.classes);
}

std::vector<LossTerm> MaskRcnn::losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                                       ImageSize /*padded*/, const StepContext& /*context*/) {
  const Tensor wanted = cell_targets(targets, rois.boxes.value(), 2 * kCells);
  return {{"loss_mask", mask_loss(logits(maps, rois), wanted, targets)}};
}

Tensor MaskRcnn::probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize /*padded*/) {
  const NoGrad no_grad;
  return sigmoid(logits(maps, rois)).value().reshape({rois.count(), 2 * kCells, 2 * kCells});
}

void MaskRcnn::visit(nn::Visitor& v) {
  v.child("", fusion_);
  v.child("mask_head", mask_head_);
}

}  // namespace tessera::roi_heads
