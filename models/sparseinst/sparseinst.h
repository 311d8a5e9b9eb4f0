// SparseInst: Sparse Instance Activation for Real-Time Instance Segmentation (Cheng et al., CVPR 2022).
//
//   images -> backbone -> instance context encoder -> IAM decoder -> class, objectness and mask of each of Q instances
#pragma once

#include <memory>

#include "models/forward_graphs.h"
#include "models/published.h"
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
  double normaliser(const Batch& batch) const override { return static_cast<double>(batch.objects()); }
  Detections detect(const Batch& batch) override;

  double score_threshold() const override { return config_.inference.score_threshold; }
  std::optional<Limit> object_limit() const override { return Limit{config_.num_masks, "model.num_masks"}; }
  // The instance activation maps, of a group decoder the mean of the groups; cross attention has none.
  i64 activation_map_count() const override { return config_.iam.cross_attention ? 0 : config_.num_masks; }
  Tensor activation_maps(const Batch& batch) override;

  void visit(nn::Visitor& v) override;
  void fuse(const nn::InferenceOptions& options) override;
  void unfuse() override;
  const Config& config() const { return config_; }

 private:
  Output compute(const Var& images, std::span<Random> random);

  Config config_;
  std::unique_ptr<Backbone> backbone_;
  InstanceContextEncoder encoder_;
  Decoder decoder_;
  std::unique_ptr<ForwardGraphs<Output>> graphs_;
};

// Initial weights depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed);

std::vector<PublishedTable> published();
PublishedLatencies published_latencies();

}  // namespace tessera::sparseinst
