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
  return (*graphs_)(images.value(), [this](const Tensor& x) { return compute(Var(x), {}); });
}

void SparseInst::fuse(const nn::InferenceOptions& options) {
  Segmenter::fuse(options);
  if (!options.graph) return;
  check_can_capture(device());
  graphs_ = std::make_unique<ForwardGraphs<Output>>();
}

void SparseInst::unfuse() {
  Segmenter::unfuse();
  graphs_.reset();
}

Losses SparseInst::losses(const Batch& batch, const StepContext& context) {
  // Before the forward pass: a copy to a device that is computing may make the host wait.
  const Tensor images = batch_images(batch, device());
  // Masks are scale_factor times the features, whose stride is 8, rounded up.
  const auto mask_side = [&](i64 side) { return config_.scale_factor * ((side + 7) / 8); };
  const MaskTargets targets =
      make_targets(batch, mask_side(images.dim(1)), mask_side(images.dim(2)), config_.num_classes, device());
  std::vector<Random> depths;
  for (const Sample& sample : batch.samples) depths.push_back(context.random("stochastic depth", sample.index));
  Output output = forward(Var(images.to(training_dtype)), depths);
  for (Var* result : {&output.logits, &output.masks, &output.objectness})
    if (*result) *result = cast(*result, DType::kF32);  // matching and losses are f32
  const Matches matches = match(output, targets, config_.matcher);
  return {loss_terms(output, targets, matches, config_.loss), finite_marks(output, targets)};
}

Detections SparseInst::detect(const Batch& batch) {
  const NoGrad no_grad;
  const Output output = forward(Var(batch_images(batch, device())));
  const Tensor& masks = output.masks.value();  // [N, Q, h, w]
  const i64 Q = masks.dim(1), h = masks.dim(2), w = masks.dim(3);
  std::vector<MaskResampler> resamplers;  // first of all: a device may still be computing the logits
  for (i64 n = 0; n < batch.size(); ++n)
    resamplers.emplace_back(ImageSize{h, w}, batch.padded, batch.size_of(n),
                            batch.samples[static_cast<size_t>(n)].original, device());
  const Tensor classes = output.logits.value().to_host();
  const Tensor objectness = output.objectness ? output.objectness.value().to_host() : Tensor();
  Detections found;
  for (i64 n = 0; n < batch.size(); ++n) {
    const PictureLogits logits{classes.rows(n, n + 1).reshape({Q, classes.dim(2)}),
                               objectness ? objectness.rows(n, n + 1).reshape({Q, 1}) : Tensor(),
                               masks.rows(n, n + 1).reshape({Q, h, w})};
    found.emplace_back() = find_instances(logits, resamplers[static_cast<size_t>(n)], config_.inference);
  }
  return found;
}

Tensor SparseInst::activation_maps(const Batch& batch) {
  const NoGrad no_grad;
  const Var logits = forward(Var(batch_images(batch, device()))).maps;  // [N, h, w, G Q]
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
