// Mask R-CNN++: the mask head of Mask R-CNN on features that know their query.
//
//   RoIAlign 14 x 14 -> query fusion -> 4 x (3x3 convolution, ReLU) -> transposed convolution to 28 x 28, ReLU ->
//   1x1 convolution to a logit per class
//                                         He et al. 2017, figure 4; Picron and Tuytelaars, EffSeg, section 4.1
#pragma once

#include "models/roi_heads/class_masks.h"
#include "models/roi_heads/layers.h"

namespace tessera::roi_heads {

// The part behind the query fusion, which PointRend++ begins with as well: [R, S, S, C] -> logits [R, 2S, 2S, K].
class ClassMasks : public nn::Module {
 public:
  ClassMasks(i64 channels, i64 num_classes, Random& random);
  Var operator()(const Var& features) const;
  void visit(nn::Visitor& v) override;

 private:
  Fcn convs_;
  nn::ConvTranspose2d upsample_;
  nn::Conv2d logits_;
};

class MaskRcnn : public MaskHead {
 public:
  MaskRcnn(i64 channels, i64 num_classes, Random& random);
  bool class_specific() const override { return true; }
  std::vector<LossTerm> losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                               ImageSize padded, const StepContext& context) override;              // loss_mask
  Tensor probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize padded) override;  // [R, 28, 28]
  void visit(nn::Visitor& v) override;

 private:
  // Of each RoI's class, [R, 28, 28, 1]. Intermediates: fused, logits (of all classes).
  Var logits(const std::vector<Var>& maps, const Rois& rois) const;

  QueryFusion fusion_;
  ClassMasks mask_head_;
};

}  // namespace tessera::roi_heads
