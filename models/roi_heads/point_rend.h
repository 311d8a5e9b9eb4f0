// PointRend++: a coarse mask, made finer at the points where it is least certain.
//
//   coarse   the mask head of Mask R-CNN++ on 14 x 14 samples of P2: a logit per class in 28 x 28 cells
//   points   x = [features of P2 at the point, coarse logits there]; 3 x (linear layer, ReLU, coarse logits put beside
//            again); linear layer to a logit per class
//
// In training N points of each RoI are predicted: of 3 N uniform ones the 3/4 N that the coarse mask is least certain
// of, and N / 4 more uniform ones. In inference the mask is doubled three times, to 224 x 224, and each time the points
// at the centres of its least certain cells replace what was interpolated. The points know the coarse mask alone, not
// the doubled one, so the mask of one class needs no other's.
//                       Kirillov et al. 2020, sections 3 and 3.2; Picron and Tuytelaars, EffSeg, section 4.1 and code
#pragma once

#include "models/roi_heads/mask_rcnn.h"
#include "models/roi_heads/points.h"
#include "tensor/fields.h"

namespace tessera::roi_heads {

struct PointRendConfig {
  i64 train_points = 14 * 14, subdivision_points = 28 * 28, subdivision_steps = 3;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(train_points, "points of each RoI in training", at_least(1));
    TESSERA_FIELD(subdivision_points, "cells predicted anew in each step", between(1, 56 * 56));
    TESSERA_FIELD(subdivision_steps, "doublings of the coarse mask's 28 x 28 cells", between(1, 5));
  }
};

// fcs.<i>.conv [C, C + K, 1], fc_logits [K, C + K, 1]: convolutions over the points, as the reference stores them.
class PointHead : public nn::Module {
 public:
  PointHead(i64 channels, i64 num_classes, Random& random);
  Var operator()(const Var& fine, const Var& coarse) const;  // [P, C], [P, K] -> [P, K]
  void visit(nn::Visitor& v) override;

 private:
  struct Layer : nn::Module {
    Layer(i64 in, i64 out, ops::Activation activation, Random& random);
    Var operator()(const Var& x) const;  // [P, in] -> [P, out]
    void visit(nn::Visitor& v) override;
    Var weight, bias;
    ops::Activation activation;
  };
  std::vector<Layer> hidden_;
  Layer logits_;
};

class PointRend : public MaskHead {
 public:
  PointRend(i64 channels, i64 num_classes, const PointRendConfig& config, Random& random);
  bool class_specific() const override { return true; }
  // loss_mask, of the coarse mask, and loss_point
  std::vector<LossTerm> losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                               ImageSize padded, const StepContext& context) override;
  Tensor probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize padded) override;  // [R, 224, 224]
  void visit(nn::Visitor& v) override;

  // Uniform points of each RoI, f32 [R, 3 N + N / 4, 2]: first those to choose from. The k-th RoI of every picture has
  // the same ones in a step: they do not depend on which pictures come together.
  Tensor uniform_points(const Rois& rois, const StepContext& context) const;
  std::vector<LossTerm> losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                               const Tensor& uniform);

 private:
  // Of all classes, [R, 28, 28, K]. Intermediates: fused, logits.
  Var coarse(const std::vector<Var>& maps, const Rois& rois) const;
  // The N points of each RoI that are trained, by the coarse logits of its class, [R, 28, 28, 1].
  Points train_points(const Tensor& logits, const Tensor& uniform) const;
  // Of each RoI's class, [P, 1].
  Var predict(const std::vector<Var>& maps, const Rois& rois, const Var& coarse, const Points& points) const;

  PointRendConfig config_;
  QueryFusion fusion_;
  ClassMasks mask_head_;
  PointHead point_head_;
};

}  // namespace tessera::roi_heads
