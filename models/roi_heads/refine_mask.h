// RefineMask++: a mask refined in stages, each with features of P2 sampled anew, and trained where its boundary is.
//
//   RoIAlign 14 x 14 -> query fusion -> 2 x (3x3 convolution, ReLU) = x of stage 0
//   P2 -> 4 x (3x3 convolution, ReLU) = the semantic map, once for all RoIs
//   stages i = 0, 1, 2 with F = C / 2^i channels and S = 14 2^i cells:
//     m = logits of the RoI's class, a 1x1 convolution of x
//     z = [x, semantic map (1x1 to F, ReLU) in S x S samples, sigmoid m] -> 1x1 to F, ReLU
//     z = the sum of three dilated convolutions of z, each with its ReLU, and of z's mean -> 1x1, ReLU  (SFM)
//     x = [z (1x1 to F / 2 - 1, ReLU), sigmoid m] -> twice as many cells, but for the last stage
//   logits of one class for all, a 1x1 convolution of x, in 56 x 56 cells -> 112 x 112
//                        Zhang et al. 2021, section 3; its "faster and better" form, as EffSeg's code has it
#pragma once

#include "models/roi_heads/boundary_refinement.h"
#include "models/roi_heads/class_masks.h"
#include "models/roi_heads/layers.h"

namespace tessera::roi_heads {

class RefineStage : public nn::Module {
 public:
  RefineStage(i64 width, i64 semantic_channels, Random& random);
  // x [R, S, S, F], certainty [R, S, S, 1] -> [R, S, S, F / 2]
  Var operator()(const Var& x, const Var& certainty, const Var& semantic, const Rois& rois) const;
  void visit(nn::Visitor& v) override;

 private:
  nn::Conv2d semantic_in_, fuse_;
  std::vector<nn::Conv2d> dilated_;
  nn::Conv2d merge_, out_;
};

class RefineMask : public MaskHead {
 public:
  RefineMask(i64 channels, i64 num_classes, Random& random);
  bool class_specific() const override { return true; }
  std::vector<LossTerm> losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                               ImageSize padded, const StepContext& context) override;  // loss_mask_0 .. loss_mask_3
  Tensor probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize padded) override;  // [R, 112, 112]
  void visit(nn::Visitor& v) override;

 private:
  StageLogits logits(const std::vector<Var>& maps, const Rois& rois) const;

  QueryFusion fusion_;
  Fcn instance_, semantic_;
  std::vector<RefineStage> stages_;
  std::vector<nn::Conv2d> logits_;
};

}  // namespace tessera::roi_heads
