#include "models/effseg/stage.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "models/roi_heads/roi_features.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"

namespace tessera::effseg {

Tensor column(const ops::SpsStructure& structure, ops::SpsCell which) {
  return ops::slice(structure.cells, 1, which, which + 1).reshape({structure.active()});
}

Var cell_centres(const ops::SpsStructure& structure, const Var& boxes, ImageSize padded) {
  const Tensor xy = ops::slice(structure.cells, 1, ops::kSpsX, ops::kSpsY + 1).to(DType::kF32);
  const Tensor in_box = ops::mul_scalar(ops::add_scalar(xy, 0.5), 1 / static_cast<double>(structure.size()));
  return roi_heads::points_in_boxes(boxes, column(structure, ops::kSpsRoi), in_box, padded);
}

RefinementStage::RefinementStage(const HeadConfig& config, size_t index, i64 channels, Random& random) : index_(index) {
  const i64 F = channels >> index;
  children_ = ChildMlp(F, config.separate_child_mlps, random);
  if (config.project_maps) projection_.emplace(nn::Conv2dConfig{.in = channels, .out = F}, random);
  fuse_ = Mlp(F + (config.project_maps ? F : channels), F, F, random);
  transition_ = nn::Linear(F, F / 2, random, ops::Activation::kRelu);
  process_ = make_processing(config.processing, F / 2, random);
}

Sps RefinementStage::operator()(const Sps& in, const std::vector<Var>& maps, const Var& boxes, ImageSize padded) const {
  const nn::Running running(*this);
  Sps sps = sps_upsample(in, children_(in.active));  // A [4n, F], P [N_P, F], I [R, 2S, 2S]
  const ops::SpsStructure& cells = sps.structure;

  std::vector<Var> keys(maps.begin(), maps.begin() + roi_heads::kRoiLevels);
  if (projection_) {
    i64 projected = 0;
    for (Var& key : keys) {
      key = (*projection_)(key);  // [B, h, w, F]
      projected += key.value().numel() / key.dim(3);
    }
    // The published count is that of projecting what is sampled.
    note_work("conv2d", {0, (cells.active() - projected) * projection_->weight.value().numel()}, cells.cells.shape());
  }
  const Var key = roi_heads::sample_levels(keys, column(cells, ops::kSpsLevel), column(cells, ops::kSpsImage),
                                           cell_centres(cells, boxes, padded));  // [4n, C]
  nn::keep(fmt::format("key.{}", index_), key);
  sps.active = sps.active + fuse_(concat({sps.active, key}, 1));  // [4n, F]

  sps.active = transition_(sps.active);    // [4n, F/2]
  sps.passive = transition_(sps.passive);  // [N_P, F/2]
  sps.active = (*process_)(sps);           // [4n, F/2]
  return sps;
}

void RefinementStage::visit(nn::Visitor& v) {
  v.child(fmt::format("fuse_td.{}", index_), children_);
  v.child(fmt::format("key_2d.{}", index_), projection_);
  v.child(fmt::format("fuse_key.{}", index_), fuse_);
  v.child(fmt::format("trans.{}.0", index_), transition_);
  v.child(fmt::format("proc.{}", index_), *process_);
}

}  // namespace tessera::effseg
