// From the network's logits to the objects of a picture: the queries whose score is high enough are chosen first, and
// only their masks are resized. There is no non-maximum suppression and no sorting: the order is that of the queries.
#pragma once

#include <vector>

#include "models/segmenter.h"
#include "models/sparseinst/config.h"
#include "models/sparseinst/mask_resampler.h"

namespace tessera {

// The logits of one picture, f32 on the CPU.
struct PictureLogits {
  Tensor classes;     // [Q, K]
  Tensor objectness;  // [Q, 1] or undefined
  Tensor masks;       // [Q, h, w]
};

// A query that is kept, with its class and final score.
struct Choice {
  i64 query = 0, class_index = 0;
  double score = 0;
};

// The score of a query is max over classes of sqrt(sigmoid(class) sigmoid(objectness)), or sigmoid(class) without
// rescoring; kept are those above the threshold (strictly). Maskness then multiplies by the mean probability over the
// pixels above the mask threshold; a mask without such a pixel gives score 0 and stays.
std::vector<Choice> choose_queries(const PictureLogits& logits, const InferenceConfig& config);

// sigmoid of one query's mask logits: h * w values.
std::vector<float> mask_probabilities(const PictureLogits& logits, i64 query);

// The pixels of the original picture where the resized map is above the threshold (strictly).
Rle threshold_mask(std::span<const float> probabilities, const MaskResampler& resampler, double threshold);

// All of the above.
std::vector<Instance> find_instances(const PictureLogits& logits, const MaskResampler& resampler,
                                     const InferenceConfig& config);

}  // namespace tessera
