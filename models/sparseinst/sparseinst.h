// SparseInst: Sparse Instance Activation for Real-Time Instance Segmentation (Cheng et al., CVPR 2022).
//
//   images -> backbone -> instance context encoder -> IAM decoder -> class, objectness and mask of each of Q instances
#pragma once

#include <memory>

#include "models/published.h"
#include "models/replay.h"
#include "models/segmenter.h"
#include "models/sparseinst/decoder.h"
#include "models/sparseinst/encoder.h"

namespace tessera::sparseinst {

class SparseInst : public Segmenter {
 public:
  SparseInst(const Config& config, Random& random);

  // images [N, H, W, 3], normalised, H and W multiples of 32. Intermediates (nn/intermediates.h): those of the parts.
  // Fused with graphs, and unless these are wanted, the output of a size that comes again is valid until the next
  // images of this size.
  // random: for each image what the backbone's stochastic depth draws from in training.
  Output forward(const Var& images, std::span<Random> random = {});

  Losses losses(const Batch& batch, const StepContext& context) override;
  std::optional<Prepared> prepare(const Batch& batch) override;  // nothing with stochastic depth, which is drawn anew
  Losses losses_of(const Prepared& prepared) override { return losses_of(prepared, {}); }
  std::vector<double> normalisers(const Batch& batch) const override;
  Detections detect(const Batch& batch) override;

  double score_threshold() const override { return config_.inference.score_threshold; }
  std::optional<Limit> object_limit() const override { return Limit{config_.num_masks, "model.num_masks"}; }
  // The instance activation maps, of a group decoder the mean of the groups; cross attention has none.
  i64 activation_map_count() const override { return config_.iam.cross_attention ? 0 : config_.num_masks; }
  Tensor activation_maps(const Batch& batch) override;

  std::vector<DependentPart> dependent_parts() const override {
    return {{.names = "decoder.inst_branch.cls_score.*", .first_class = 0}};
  }
  void visit(nn::Visitor& v) override;
  void fuse(const nn::InferenceOptions& options) override;
  void unfuse() override;
  const Config& config() const { return config_; }

 private:
  static constexpr size_t kGraphs = 8;  // sizes of images

  Output compute(const Var& images, std::span<Random> random);
  Prepared inputs_of(const Batch& batch);  // images, mask maps and classes; where each picture's objects begin
  Losses losses_of(const Prepared& prepared, std::span<Random> random);

  Config config_;
  std::unique_ptr<Backbone> backbone_;
  InstanceContextEncoder encoder_;
  Decoder decoder_;
  std::unique_ptr<Replay<Output>> graphs_;
};

// Initial weights depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed);

std::vector<PublishedTable> published();
PublishedLatencies published_latencies();

}  // namespace tessera::sparseinst
