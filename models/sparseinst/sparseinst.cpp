#include "models/sparseinst/sparseinst.h"

#include "models/sparseinst/criterion.h"
#include "models/sparseinst/inference.h"

namespace tessera {

SparseInst::SparseInst(const SparseInstConfig& config, Random& random)
    : config_(config),
      backbone_(make_backbone(config.backbone, random)),
      encoder_(config.encoder, backbone_->levels(), random),
      decoder_(config, random) {}

SparseInstOutput SparseInst::forward(const Var& images, nn::Taps* taps) {  // [N, H, W, 3]
  const std::vector<Var> levels = (*backbone_)(images, taps);              // strides 8, 16, 32
  const Var features = encoder_(levels, taps);                             // [N, H/8, W/8, C]
  return decoder_(features, taps);                                         // [N, Q, ...]
}

Losses SparseInst::losses(const Batch& batch) {
  // Before the forward pass: a copy to a device that is computing may make the host wait.
  const Tensor images = batch.images.to(device());
  const i64 S = config_.scale_factor;
  const SparseInstTargets targets =
      make_targets(batch, S * images.dim(1) / 8, S * images.dim(2) / 8, config_.num_classes, device());
  const SparseInstOutput output = forward(Var(images));
  const Matches matches = match(output, targets, config_.matcher);
  return {sparseinst_losses(output, targets, matches, config_.loss), finite_marks(output, targets)};
}

std::vector<std::vector<Instance>> SparseInst::detect(const Batch& batch) {
  const NoGrad no_grad;
  const SparseInstOutput output = forward(Var(batch.images.to(device())));
  const Tensor classes = output.logits.value().to_host(), masks = output.masks.value().to_host();
  const Tensor objectness = output.objectness ? output.objectness.value().to_host() : Tensor();
  const i64 Q = classes.dim(1), h = masks.dim(2), w = masks.dim(3);
  std::vector<std::vector<Instance>> found;
  for (i64 n = 0; n < batch.size(); ++n) {
    const PictureLogits logits{classes.rows(n, n + 1).reshape({Q, classes.dim(2)}),
                               objectness ? objectness.rows(n, n + 1).reshape({Q, 1}) : Tensor(),
                               masks.rows(n, n + 1).reshape({Q, h, w})};
    const MaskResampler resampler({h, w}, {batch.images.dim(1), batch.images.dim(2)}, batch.size_of(n),
                                  batch.samples[static_cast<size_t>(n)].original);
    found.push_back(find_instances(logits, resampler, config_.inference));
  }
  return found;
}

void SparseInst::visit(nn::Visitor& v) {
  v.child("backbone", *backbone_);
  v.child("encoder", encoder_);
  v.child("decoder", decoder_);
}

std::unique_ptr<Segmenter> make_sparseinst(const SparseInstConfig& config, u64 seed) {
  Random random(seed, stream_of("weights"));
  return std::make_unique<SparseInst>(config, random);
}

}  // namespace tessera
