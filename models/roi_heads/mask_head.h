// What predicts the masks of a two-stage network: a head that works on regions of interest, the boxes that the detector
// found. EffSeg's head and those of Mask R-CNN++, PointRend++ and RefineMask++ are such; what they share lies in this
// folder.
//
// R RoIs, C channels of the maps, T objects of the batch. RoIs come in any order, of all pictures of the batch: those
// that one process of the reference has at a time, so what a head counts or ranks over "all RoIs" is over these.
//                                                                              Picron and Tuytelaars, EffSeg, section 3
#pragma once

#include <vector>

#include "models/segmenter.h"

namespace tessera::roi_heads {

struct Rois {
  Var boxes;       // f32 [R, 4], x0 y0 x1 y1 in pixels of the padded batch; its gradient is that of sampling positions
  Var queries;     // [R, C]
  Tensor image;    // i64 [R], picture of the batch
  Tensor classes;  // i64 [R]: predicted; in training the object's. Undefined where no class is wanted
  i64 count() const { return boxes.dim(0); }
};

struct RoiTargets {
  Tensor masks;   // f32 [T, H, W, 1], 0 or 1: all objects of the batch, padded
  Tensor object;  // i64 [R]: row of masks
  i64 matches;    // of all matched queries: there may be fewer RoIs, and the losses stand for all
};

class MaskHead : public nn::Module {
 public:
  // One mask per prediction, a query with its class; else one per query, whatever its classes.
  virtual bool class_specific() const = 0;

  // maps: [B, h, w, C] at strides 4, 8, 16, 32; coarser ones that follow are not used. Sums over the RoIs, as the loss
  // of the detector is one over the queries; without a RoI they are 0, with gradients of 0.
  virtual std::vector<LossTerm> losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                                       ImageSize padded, const StepContext& context) = 0;

  // f32 [R, S, S]: of the cells of each box to be in the object.
  virtual Tensor probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize padded) = 0;
};

}  // namespace tessera::roi_heads
