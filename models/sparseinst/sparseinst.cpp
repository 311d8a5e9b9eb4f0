#include "models/sparseinst/sparseinst.h"

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "autograd/softmax.h"
#include "models/batch_images.h"
#include "models/sparseinst/criterion.h"
#include "models/sparseinst/inference.h"
#include "nn/intermediates.h"
#include "tensor/device_runtime.h"

namespace tessera::sparseinst {

SparseInst::SparseInst(const Config& config, Random& random)
    : config_(check_fields("sparseinst", config)),
      backbone_(make_backbone(config.backbone, random)),
      encoder_(config.encoder, backbone_->levels(), random),
      decoder_(config, random) {}

Output SparseInst::compute(const Var& images, std::span<Random> random) {  // [N, H, W, 3]
  TESSERA_CHECK(
      images.rank() == 4 && images.dim(1) % 32 == 0 && images.dim(2) % 32 == 0,
      "sparseinst: images must be [N, H, W, 3] with H and W multiples of 32, as make_batch pads them, so that "
      "the masks at stride 8 cover them exactly; got {}",
      images.shape());
  const std::vector<Var> levels = (*backbone_)(images, random);  // strides 8, 16, 32
  const Var features = encoder_(levels);                         // [N, H/8, W/8, C]
  return decoder_(features);                                     // [N, Q, ...]
}

Output SparseInst::forward(const Var& images, std::span<Random> random) {
  if (!graphs_ || nn::Intermediates::wanted() || !NoGrad::active()) return compute(images, random);
  return (*graphs_)(
      {images.value()}, {}, [this](const std::vector<Tensor>& inputs) { return compute(Var(inputs[0]), {}); },
      [] { return [] {}; });
}

void SparseInst::fuse(const nn::InferenceOptions& options) {
  Segmenter::fuse(options);
  if (!options.graph) return;
  check_can_capture(device());
  graphs_ = std::make_unique<Replay<Output>>(kGraphs);
}

void SparseInst::unfuse() {
  Segmenter::unfuse();
  graphs_.reset();
}

Losses SparseInst::losses(const Batch& batch, const StepContext& context) {
  std::vector<Random> depths;
  for (const Sample& sample : batch.samples) depths.push_back(context.random("stochastic depth", sample.index));
  return losses_of(inputs_of(batch), depths);
}

// Objects, and those of them that queries are matched with.
std::vector<double> SparseInst::normalisers(const Batch& batch) const {
  i64 pairs = 0;
  for (const Sample& sample : batch.samples) pairs += std::min(sample.targets.count(), config_.num_masks);
  return {static_cast<double>(batch.objects()), static_cast<double>(pairs)};
}

std::optional<Segmenter::Prepared> SparseInst::prepare(const Batch& batch) {
  if (backbone_->draws()) return std::nullopt;
  return inputs_of(batch);
}

// All copies come before the forward pass: one to a device that is computing may make the host wait.
Segmenter::Prepared SparseInst::inputs_of(const Batch& batch) {
  const Tensor images = batch_images(batch, device());
  // Masks are scale_factor times the features, whose stride is 8, rounded up.
  const auto mask_side = [&](i64 side) { return config_.scale_factor * ((side + 7) / 8); };
  const MaskTargets targets =
      make_targets(batch, mask_side(images.dim(1)), mask_side(images.dim(2)), config_.num_classes, device());
  return {{images.to(training_dtype), targets.maps, targets.classes}, targets.first};
}

Losses SparseInst::losses_of(const Prepared& prepared, std::span<Random> random) {
  const MaskTargets targets{prepared.tensors[1], prepared.tensors[2], prepared.counts};
  const Output output = forward(Var(prepared.tensors[0]), random);
  const Matches matches = match(output, targets, config_.matcher);
  return {loss_terms(output, targets, matches, config_.loss), finite_marks(output)};
}

Detections SparseInst::detect(const Batch& batch) {
  const Inference inference(*this);
  const Output output = forward(inference.images(batch));
  const Logits logits{output.logits.value(), output.objectness ? output.objectness.value() : Tensor(),
                      output.masks.value()};
  std::vector<MaskResampler> resamplers;
  for (i64 n = 0; n < batch.size(); ++n)
    resamplers.emplace_back(ImageSize{logits.masks.dim(2), logits.masks.dim(3)}, batch.padded, batch.size_of(n),
                            batch.samples[static_cast<size_t>(n)].original, device());
  return find_instances(logits, resamplers, config_.inference);
}

Tensor SparseInst::activation_maps(const Batch& batch) {
  const Inference inference(*this);
  const Var logits = cast(forward(inference.images(batch)).maps, DType::kF32);  // [N, h, w, G Q]
  const i64 N = logits.dim(0), h = logits.dim(1), w = logits.dim(2), Q = config_.num_masks, G = config_.iam.groups;
  const Var flat = reshape(logits, {N, h * w, G * Q});
  const Var active = config_.iam.activation == IamActivation::kSoftmax ? softmax(flat, 1) : sigmoid(flat);
  return reshape(mean(reshape(active, {N * h * w, G, Q}), {1}), {N, h, w, Q}).value();
}

void SparseInst::visit(nn::Visitor& v) {
  v.child("backbone", *backbone_);
  v.child("encoder", encoder_);
  v.child("decoder", decoder_);
}

std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed) {
  Random random(seed, stream_of("weights"));
  return std::make_unique<SparseInst>(config, random);
}

}  // namespace tessera::sparseinst
