#include "models/segmenter.h"

#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "ops/reduce.h"

namespace tessera {

Var Losses::total(std::span<const double> weights) const {
  Var total;
  for (const LossTerm& term : terms) {
    const double weight = weights.empty() ? 1 : weights[term.normaliser];
    const Var value = weight == 1 ? term.value : term.value * weight;
    total = total ? total + value : value;
  }
  return total;
}

Random StepContext::random(std::string_view purpose, i64 number) const {
  return Random(seed, stream_of(purpose, {static_cast<u64>(step), static_cast<u64>(number)}));
}

Instance Instance::of_mask(i64 class_index, double score, Rle mask, i64 query) {
  const XywhBox box = rle_bbox(mask);
  return {class_index, score, std::move(mask), box, score, query};
}

Instance Instance::of_box(i64 class_index, double score, const XywhBox& box, i64 query) {
  return {class_index, score, {}, box, score, query};
}

void check_found(const char* what, const Tensor& numbers) {
  TESSERA_CHECK(ops::all_finite(numbers),
                "detect: {} are not finite: the model's weights are not those of a network that was trained, or the "
                "picture makes it overflow",
                what);
}

Losses Segmenter::losses_of(const Prepared& /*prepared*/) {
  fail("losses_of: the model's losses are not computed in two parts");
}

void Segmenter::fuse(const nn::InferenceOptions& options) {
  Module::fuse(options);
  inference_dtype_ = options.dtype;
}

void Segmenter::unfuse() {
  Module::unfuse();
  inference_dtype_ = DType::kF32;
  inference_weights_ = {};
}

Segmenter::Inference::Inference(Segmenter& model) : model_(model) {
  if (model.inference_dtype_ != DType::kF32) weights_.emplace(model.inference_weights_);
}

Var Segmenter::Inference::images(const Batch& batch) const {
  return Var(batch_images(batch, model_.device()).to(model_.inference_dtype_));
}

Tensor Segmenter::activation_maps(const Batch& /*batch*/) {
  fail("activation maps: the model has none");
}

}  // namespace tessera
