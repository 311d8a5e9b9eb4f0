// Every choice in EffSeg's mask head (Picron and Tuytelaars). Defaults are those of the authors' code that made the
// paper's tables; where paper and code differ the paper's way stands in the meaning. Tables are those of the paper.
#pragma once

#include "models/effseg/processing.h"
#include "tensor/fields.h"

namespace tessera::effseg {

// What the active cells are ranked by when the next stage takes the first of them.
enum class Refine { kBranch, kUncertainty, kBoundary };
constexpr auto names_of(Refine) {
  return std::array{std::pair{"branch", Refine::kBranch}, std::pair{"uncertainty", Refine::kUncertainty},
                    std::pair{"boundary", Refine::kBoundary}};
}

enum class TargetRule { kRoiAlign, kCenter };
constexpr auto names_of(TargetRule) {
  return std::array{std::pair{"roialign", TargetRule::kRoiAlign}, std::pair{"center", TargetRule::kCenter}};
}

inline constexpr size_t kStages = 4;  // grids of 14, 28, 56 and 112 cells
inline constexpr i64 kFirstSize = 14;

struct HeadConfig {
  Processing processing = Processing::kSfm;
  bool project_maps = false;
  i64 fcn_layers = 4, refinements = 10000;
  Refine refine = Refine::kBranch;
  bool ref_loss = false, position_encoding = true, separate_child_mlps = false, detach_sample_boxes = false;
  TargetRule target_rule = TargetRule::kRoiAlign;
  double ref_eps = 1e-5;
  std::array<double, kStages> seg_weights = {0.25, 0.375, 0.375, 0.5}, ref_weights = {0.25, 0.25, 0.25, 0.25};

  bool has_ref() const { return refine == Refine::kBranch || ref_loss; }

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(
        processing,
        "what a stage does with its active cells (Table 5); dense_sfm: sfm with ordinary convolutions, all are active");
    TESSERA_FIELD(
        project_maps,
        "the maps go through a 1x1 convolution to the stage's width before it samples them (Table 5: dense_sfm)");
    TESSERA_FIELD(fcn_layers, "3x3 convolutions on the grids of 14 x 14 cells", at_least(0));
    TESSERA_FIELD(refinements, "cells that a stage refines at most, of all RoIs; dense_sfm: all", at_least(1));
    TESSERA_FIELD(
        refine,
        "which: those that the refinement branch ranks first, those with the least sure mask (PointRend), or those at "
        "the boundary of the mask (RefineMask)");
    TESSERA_FIELD(ref_loss, "the refinement branch is trained where refine does not use it, too");
    TESSERA_FIELD(position_encoding, "the place in the box goes into the features; not in the paper");
    TESSERA_FIELD(separate_child_mlps,
                  "the second layer, too, is another for each of the four children of a cell, as in the paper");
    TESSERA_FIELD(detach_sample_boxes,
                  "no gradient from the mask losses to the boxes; better where training starts from scratch");
    TESSERA_FIELD(target_rule,
                  "a cell is in the object where more than half of it is, or where its centre is, as in the paper");
    TESSERA_FIELD(ref_eps, "a cell is to be refined whose part in the object is in (eps, 1 - eps); the code's: 0",
                  at_least(0).below(0.5));
    TESSERA_FIELD(seg_weights, "of the stages' segmentation losses; the paper's first version: 0.35 at last",
                  at_least(0));
    TESSERA_FIELD(ref_weights, "of the stages' refinement losses", at_least(0));
  }
};

}  // namespace tessera::effseg
