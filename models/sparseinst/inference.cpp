#include "models/sparseinst/inference.h"

#include <cmath>

#include "ops/cpu/simd/masks.h"
#include "ops/cpu/simd/pointwise.h"

namespace tessera {

namespace {

float sigmoid_of(float x) {
  return 1 / (1 + std::exp(-x));
}

// sum of the probabilities above the threshold / (their number + 1e-6)
double maskness(const std::vector<float>& probabilities, float threshold) {
  double sum = 0, count = 0;
  for (const float p : probabilities)
    if (p > threshold) {
      sum += p;
      count += 1;
    }
  return sum / (count + 1e-6);
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
  if (!config.maskness) return kept;
#pragma omp parallel for schedule(dynamic)
  for (Choice& choice : kept)
    choice.score *= maskness(mask_probabilities(logits, choice.query), static_cast<float>(config.mask_threshold));
  return kept;
}

std::vector<float> mask_probabilities(const PictureLogits& logits, i64 query) {
  const std::span<const float> mask = logits.masks.rows(query, query + 1).span<float>();
  std::vector<float> probabilities(mask.size());
  simd::sigmoid.get<float>()(mask.data(), probabilities.data(), static_cast<long>(mask.size()));
  return probabilities;
}

Rle threshold_mask(std::span<const float> probabilities, const MaskResampler& resampler, double threshold) {
  const auto [height, width] = resampler.original();
  Rle rle{height, width, {}};
  const auto edges_of = simd::mask_edges.get();
  std::vector<u32> edges(static_cast<size_t>(height));
  bool above = false;
  u32 last = 0;
  resampler.columns(probabilities, [&](i64 x, std::span<const float> column) {
    long count = 0;
    edges_of(column.data(), static_cast<float>(threshold), static_cast<long>(height), static_cast<u32>(x * height),
             &above, edges.data(), &count);
    for (long i = 0; i < count; ++i) {
      rle.counts.push_back(edges[static_cast<size_t>(i)] - last);
      last = edges[static_cast<size_t>(i)];
    }
  });
  rle.counts.push_back(static_cast<u32>(height * width) - last);
  return rle;
}

std::vector<Instance> find_instances(const PictureLogits& logits, const MaskResampler& resampler,
                                     const InferenceConfig& config) {
  const std::vector<Choice> kept = choose_queries(logits, config);
  std::vector<Instance> instances(kept.size());
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < kept.size(); ++i)
    instances[i] = {kept[i].class_index, kept[i].score,
                    threshold_mask(mask_probabilities(logits, kept[i].query), resampler, config.mask_threshold),
                    kept[i].query};
  return instances;
}

}  // namespace tessera
