// From the network's logits to the objects of a picture: the queries whose score is high enough are chosen first, and
// only their masks are resized. There is no non-maximum suppression and no sorting: the order is that of the queries.
//
// The masks stay where the network computed them: what comes to the host is a few numbers per query and run lengths.
#pragma once

#include <vector>

#include "models/segmenter.h"
#include "models/sparseinst/config.h"
#include "models/sparseinst/mask_resampler.h"

namespace tessera::sparseinst {

// The logits of one picture, f32.
struct PictureLogits {
  Tensor classes;     // [Q, K] on the CPU
  Tensor objectness;  // [Q, 1] on the CPU, or undefined
  Tensor masks;       // [Q, h, w] on any device
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

// For each choice the pixels of the original picture where its resized probabilities are above the threshold
// (strictly). The resampler's weights lie where the masks do.
std::vector<Rle> threshold_masks(const Tensor& masks, const std::vector<Choice>& kept, const MaskResampler& resampler,
                                 double threshold);

// All of the above.
std::vector<Instance> find_instances(const PictureLogits& logits, const MaskResampler& resampler,
                                     const InferenceConfig& config);

}  // namespace tessera::sparseinst
