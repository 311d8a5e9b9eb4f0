// EffSeg's mask head: a dense grid of 14 x 14 cells per RoI, then three stages, each of which refines the cells where
// the mask is not decided to twice the resolution and leaves the others as they are, up to 112 x 112.
//                                                                        Picron and Tuytelaars, EffSeg, figures 1 to 3
//   RoI features + query -> FCN -> [ seg, ref -> choose -> children + maps -> halve the width -> process ] x 3
//   -> seg, ref
//
// R RoIs, C channels, F = C, C/2, C/4, C/8 and S = 14, 28, 56, 112 by stage, N_A active and N_P passive cells
// (ops/sps.h).
#pragma once

#include "models/effseg/selection.h"
#include "models/roi_heads/layers.h"

namespace tessera::effseg {

class EffSegHead : public roi_heads::MaskHead {
 public:
  EffSegHead(const HeadConfig& config, i64 channels, Random& random);

  // The logits of the four stages. crops: the objects' masks on the stages' grids (crop_masks), for the rule `boundary`
  // in training; empty elsewhere. Intermediates: roi_feats, fused, fcn; act.<stage>, pas.<stage>, key.<stage>.
  std::vector<StageLogits> forward(const std::vector<Var>& maps, const roi_heads::Rois& rois, ImageSize padded,
                                   const std::vector<Tensor>& crops = {}) const;

  bool class_specific() const override { return false; }

  // loss_seg, and loss_ref where there is this branch: with n the matches, over the stages
  //   weight n (mean of the binary cross entropy over the active cells)
  // Intermediates: seg_loss.<stage>, ref_loss.<stage>, and those of forward().
  std::vector<LossTerm> losses(const std::vector<Var>& maps, const roi_heads::Rois& rois,
                               const roi_heads::RoiTargets& targets, ImageSize padded,
                               const StepContext& context) override;

  // f32 [R, 112, 112]. The mask is the first stage's logits, enlarged bilinearly and overwritten by each that follows.
  Tensor probabilities(const std::vector<Var>& maps, const roi_heads::Rois& rois, ImageSize padded) override;

  void visit(nn::Visitor& v) override;

 private:
  HeadConfig config_;
  Tensor position_encoding_;  // f32 [14, 14, C]
  roi_heads::QueryFusion fusion_;
  roi_heads::Fcn fcn_;
  std::vector<Mlp> seg_, ref_;           // one per stage
  std::vector<RefinementStage> stages_;  // the last three
};

}  // namespace tessera::effseg
