// One refinement stage of EffSeg's head: the cells that were chosen become four times as many, which look at the maps
// around them and at each other.                                           Picron and Tuytelaars, EffSeg, section 3.1
#pragma once

#include "models/effseg/head_config.h"
#include "models/effseg/layers.h"
#include "models/roi_heads/mask_head.h"

namespace tessera::effseg {

// What a stage has found: logits of its N_A active cells.
struct StageLogits {
  ops::SpsStructure structure;
  Var seg;  // f32 [N_A]: in the object?
  Var ref;  // f32 [N_A]: in part, so to be refined? Undefined without this branch.
};

// One column of the active cells' table: i64 [N_A].
Tensor column(const ops::SpsStructure& structure, ops::SpsCell which);

// The centres of the active cells, as parts of the padded picture [N_A, 2]. boxes: of the grids.
Var cell_centres(const ops::SpsStructure& structure, const Var& boxes, ImageSize padded);

class RefinementStage : public nn::Module {
 public:
  // index: 0, 1 or 2. F = channels / 2^index is the width of what comes in.
  RefinementStage(const HeadConfig& config, size_t index, i64 channels, Random& random);

  // sps: R grids of S x S cells, N_A of them active, features of width F -> grids of 2 S x 2 S, 4 N_A active, width
  // F / 2. maps: [B, h, w, C]. Intermediates: key.<index>, what is sampled of the maps.
  Sps operator()(const Sps& sps, const std::vector<Var>& maps, const Var& boxes, ImageSize padded) const;
  void visit(nn::Visitor& v) override;

 private:
  size_t index_;
  ChildMlp children_;
  std::optional<nn::Conv2d> projection_;
  Mlp fuse_;
  nn::Linear transition_;
  std::unique_ptr<ProcessingModule> process_;
};

}  // namespace tessera::effseg
