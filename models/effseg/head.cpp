#include "models/effseg/head.h"

#include "autograd/arrange.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "models/effseg/targets.h"
#include "models/roi_heads/boundary.h"
#include "models/roi_heads/roi_features.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/pointwise.h"

namespace tessera::effseg {

namespace {

// The boundary of the mask so far, and of the object's where it is known.
Tensor boundary_of(const Tensor& mask, const Tensor& crop) {
  const Tensor found = roi_heads::boundary(ops::greater_equal(mask, 0).to(DType::kF32), 1);
  if (!crop) return found;
  return above(ops::add(found, roi_heads::boundary(above(crop, 0.5), 1)), 0);
}

// As Segmenter::refinement_stages() has it.
void keep_stage(size_t s, const Tensor& mask, const ops::SpsStructure& structure) {
  if (!nn::Intermediates::wanted()) return;
  const Shape grid{mask.dim(0), mask.dim(1), mask.dim(2)};
  const Tensor none = Tensor::zeros(mask.shape(), DType::kU8, mask.device());
  const Tensor one = Tensor::full({structure.active(), 1}, 1, DType::kU8, mask.device());
  nn::keep(fmt::format("stages.mask.{}", s), Var(mask.reshape(grid)));
  nn::keep(fmt::format("stages.active.{}", s), Var(ops::sps_overwrite(none, one, structure).reshape(grid)));
}

}  // namespace

EffSegHead::EffSegHead(const HeadConfig& config, i64 channels, Random& random)
    : config_(check_fields("effseg head", config)) {
  TESSERA_CHECK(channels % (i64{1} << (kStages - 1)) == 0,
                "effseg: the maps have {} channels; each of three stages halves them, so they must be a multiple of 8",
                channels);
  position_encoding_ = position_encoding(kFirstSize, channels);
  fusion_ = roi_heads::QueryFusion(channels, random);
  fcn_ = roi_heads::Fcn(channels, config.fcn_layers, random);
  for (size_t s = 0; s < kStages; ++s) {
    seg_.emplace_back(channels >> s, channels >> s, 1, random);
    if (config.has_ref()) ref_.emplace_back(channels >> s, channels >> s, 1, random);
  }
  for (size_t i = 0; i + 1 < kStages; ++i) stages_.emplace_back(config, i, channels, random);
}

std::vector<StageLogits> EffSegHead::forward(const std::vector<Var>& maps, const roi_heads::Rois& rois,
                                             ImageSize padded, const std::vector<Tensor>& crops) const {
  const nn::Running running(*this);
  const DType dtype = maps.at(0).value().dtype();
  const Var boxes = config_.detach_sample_boxes ? rois.boxes.detach() : rois.boxes;
  const Tensor levels = roi_heads::roi_levels(boxes.value());

  Var x = roi_heads::roi_features(maps, rois, levels, kFirstSize);  // [R, 14, 14, C]
  nn::keep("roi_feats", x);
  if (config_.position_encoding) x = x + Var(position_encoding_.to(x.value().device()).to(dtype));
  x = fusion_(x, cast(rois.queries, dtype));  // [R, 14, 14, C]
  nn::keep("fused", x);
  x = fcn_(x);  // [R, 14, 14, C]
  nn::keep("fcn", x);

  std::vector<StageLogits> found;
  Tensor mask;                                 // [R, S, S, 1]
  Sps sps = sps_dense(x, rois.image, levels);  // A [196 R, C], P [0, C], I [R, 14, 14]
  for (size_t s = 0;; ++s) {
    nn::keep(fmt::format("act.{}", s), sps.active);
    nn::keep(fmt::format("pas.{}", s), sps.passive);
    const auto logits = [&](const Mlp& branch) {
      return cast(reshape(branch(sps.active), {sps.structure.active()}), DType::kF32);
    };
    found.push_back({sps.structure, logits(seg_[s]), ref_.empty() ? Var() : logits(ref_[s])});  // [N_A]
    if (s == stages_.size()) return found;

    Tensor boundary;
    if (config_.refine == Refine::kBoundary) {
      mask = refined_mask(mask, found[s]);
      boundary = boundary_of(mask, crops.empty() ? Tensor() : crops[s]);
    }
    if (const Tensor chosen = choose_cells(config_, found[s], boundary))
      sps = sps_select(sps, chosen);             // n active, the others passive
    sps = stages_[s](sps, maps, boxes, padded);  // A [4n, F/2], P [N_P, F/2], I [R, 2S, 2S]
  }
}

std::vector<LossTerm> EffSegHead::losses(const std::vector<Var>& maps, const roi_heads::Rois& rois,
                                         const roi_heads::RoiTargets& targets, ImageSize padded,
                                         const StepContext& /*context*/) {
  const Tensor& boxes = rois.boxes.value();
  std::vector<Tensor> crops;
  for (size_t s = 0; s < kStages; ++s)
    crops.push_back(roi_heads::crop_masks(targets.masks, targets.object, boxes, kFirstSize << s));  // [R, S, S, 1]
  const std::vector<StageLogits> found = forward(maps, rois, padded, crops);

  const double n = static_cast<double>(targets.matches);
  Var seg, ref;
  const auto add_stage = [&](Var& sum, const char* name, size_t s, const Var& logits, const Tensor& wanted,
                             double weight) {
    const Var loss = binary_cross_entropy_with_logits(logits, wanted, Reduction::kMean) * (weight * n);
    nn::keep(fmt::format("{}.{}", name, s), loss);
    sum = sum ? sum + loss : loss;
  };
  for (size_t s = 0; s < kStages; ++s) {
    const StageTargets wanted = stage_targets(config_, found[s].structure, crops[s], targets, boxes);
    add_stage(seg, "seg_loss", s, found[s].seg, wanted.seg, config_.seg_weights[s]);
    if (found[s].ref) add_stage(ref, "ref_loss", s, found[s].ref, wanted.ref, config_.ref_weights[s]);
  }
  std::vector<LossTerm> terms = {{"loss_seg", seg}};
  if (ref) terms.push_back({"loss_ref", ref});
  return terms;
}

Tensor EffSegHead::probabilities(const std::vector<Var>& maps, const roi_heads::Rois& rois, ImageSize padded) {
  const NoGrad no_grad;
  nn::keep("stages.boxes", rois.boxes);
  Tensor mask;  // [R, S, S, 1]
  const std::vector<StageLogits> found = forward(maps, rois, padded);
  for (size_t s = 0; s < kStages; ++s) {
    mask = refined_mask(mask, found[s]);
    keep_stage(s, mask, found[s].structure);
  }
  return ops::sigmoid(mask).reshape({mask.dim(0), mask.dim(1), mask.dim(2)});  // [R, 112, 112]
}

void EffSegHead::visit(nn::Visitor& v) {
  v.child("", fusion_);
  v.child("roi_ins", fcn_);
  for (size_t s = 0; s < seg_.size(); ++s) v.child(fmt::format("seg.{}", s), seg_[s]);
  for (size_t s = 0; s < ref_.size(); ++s) v.child(fmt::format("ref.{}", s), ref_[s]);
  for (RefinementStage& stage : stages_) v.child("", stage);
}

}  // namespace tessera::effseg
