#include "models/sparseinst/inference.h"

#include <cmath>

namespace tessera::sparseinst {

namespace {

float sigmoid_of(float x) {
  return 1 / (1 + std::exp(-x));
}

// On the masks' device.
Tensor queries_of(const std::vector<Choice>& kept, Device device) {
  std::vector<i64> queries;
  for (const Choice& choice : kept) queries.push_back(choice.query);
  return Tensor::from(queries).to(device);
}

}  // namespace

std::vector<Choice> choose_queries(const PictureLogits& logits, const InferenceConfig& config) {
  const i64 Q = logits.classes.dim(0), K = logits.classes.dim(1);
  const float* classes = logits.classes.data<float>();
  const float* objectness = logits.objectness && config.rescore ? logits.objectness.data<float>() : nullptr;
  std::vector<Choice> kept;
  for (i64 q = 0; q < Q; ++q) {
    const float object = objectness ? sigmoid_of(objectness[q]) : 1;
    i64 label = 0;
    float best = -1;
    for (i64 k = 0; k < K; ++k) {
      const float p = sigmoid_of(classes[q * K + k]);
      const float score = objectness ? std::sqrt(p * object) : p;
      if (score > best) {  // the lowest class among equals
        best = score;
        label = k;
      }
    }
    if (best > config.score_threshold) kept.push_back({q, label, best});
  }
  if (!config.maskness || kept.empty()) return kept;
  const Tensor& masks = logits.masks;
  const Tensor maskness = ops::maskness(masks, queries_of(kept, masks.device()), config.mask_threshold).to_host();
  for (size_t i = 0; i < kept.size(); ++i) kept[i].score *= double{maskness.span<float>()[i]};
  return kept;
}

std::vector<Rle> threshold_masks(const Tensor& masks, const std::vector<Choice>& kept, const MaskResampler& resampler,
                                 double threshold) {
  if (kept.empty()) return {};
  const ops::MaskRuns found =
      ops::mask_runs(masks, queries_of(kept, masks.device()), resampler.rows, resampler.columns, threshold);
  const Tensor runs = found.runs.to_host(), offsets = found.offsets.to_host();
  std::vector<Rle> rles;
  for (size_t k = 0; k < kept.size(); ++k) {
    const i32* first = runs.data<i32>();
    const i64* offset = offsets.data<i64>() + k;
    rles.push_back({resampler.original.height, resampler.original.width, {first + offset[0], first + offset[1]}});
  }
  return rles;
}

std::vector<Instance> find_instances(const PictureLogits& logits, const MaskResampler& resampler,
                                     const InferenceConfig& config) {
  const std::vector<Choice> kept = choose_queries(logits, config);
  std::vector<Rle> masks = threshold_masks(logits.masks, kept, resampler, config.mask_threshold);
  std::vector<Instance> instances;
  for (size_t i = 0; i < kept.size(); ++i)
    instances.push_back(Instance::of_mask(kept[i].class_index, kept[i].score, std::move(masks[i]), kept[i].query));
  return instances;
}

}  // namespace tessera::sparseinst
