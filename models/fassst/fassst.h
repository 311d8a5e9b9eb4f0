// FASSST: Fast Attention Based Single-Stage Segmentation Net for Real-Time Instance Segmentation (Cheng et al., WACV
// 2022), as docs/fassst.md fills its gaps.
//
//   images -> backbone: E -> attention module: a box, an objectness and classes in every cell of a grid
//                       the rest -> pyramid: three levels
//   boxes, pyramid -> regions on all three levels, fused -> mask tail: a mask per box
#pragma once

#include <memory>

#include "models/fassst/attention.h"
#include "models/fassst/masks.h"
#include "models/published.h"
#include "models/segmenter.h"

namespace tessera::fassst {

class Fassst : public Segmenter {
 public:
  Fassst(const Config& config, Random& random);

  // loss_object, loss_box, loss_class, loss_mask (criterion.h). From the second epoch on masks are learned in the boxes
  // that are predicted well. The host does not wait.
  Losses losses(const Batch& batch, const StepContext& context) override;
  // Cells that learn an object, and the regions among them whose masks are learned.
  std::vector<double> normalisers(const Batch& batch) const override;
  // Every cell above the threshold with its mask; regions of all pictures are one batch.
  Detections detect(const Batch& batch) override;

  std::optional<Limit> object_limit() const override;
  std::string passed_over() const override;
  std::vector<DependentPart> dependent_parts() const override;  // the fitted layer and the last one
  void visit(nn::Visitor& v) override;

  struct Maps {
    Var raw;                   // f32 [B, gh, gw, 5 + K]
    std::vector<Var> pyramid;  // three, finest first
  };
  Maps forward(const Var& images);
  Var masks(const Maps& maps, const Tensor& regions) const;  // logits f32 [R, 2 S, 2 S]

 private:
  ImageSize grid() const { return {config_.attention.grid[0], config_.attention.grid[1]}; }

  Config config_;
  std::unique_ptr<Backbone> backbone_;
  size_t e_;                     // which of its outputs is E
  std::vector<size_t> lateral_;  // which go into the pyramid
  std::optional<InstanceAttention> attention_;
  std::optional<Pyramid> pyramid_;
  std::optional<MaskTail> tail_;
  i64 seen_ = 0, left_out_ = 0;  // objects in training, and those without a cell
};

// Initial weights depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed);

std::vector<PublishedTable> published();

}  // namespace tessera::fassst
