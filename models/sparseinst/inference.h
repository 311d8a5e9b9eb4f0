// From the network's logits to the objects of a picture: the queries whose score is high enough are chosen first, and
// only their masks are resized. There is no non-maximum suppression and no sorting: the order is that of the queries.
//
// All of it is computed where the network computed the logits. The host waits for it once per batch, and what comes to
// it is a few numbers per query and runs.
#pragma once

#include <vector>

#include "models/segmenter.h"
#include "models/sparseinst/config.h"
#include "models/sparseinst/mask_resampler.h"

namespace tessera::sparseinst {

// The logits of a batch, f32, on one device.
struct Logits {
  Tensor classes;     // [N, Q, K]
  Tensor objectness;  // [N, Q, 1], or undefined
  Tensor masks;       // [N, Q, h, w]
};

// The score of a query is max over classes of sqrt(sigmoid(class) sigmoid(objectness)), or sigmoid(class) without
// rescoring; of equal classes the lowest. Kept are those above the threshold (strictly). Maskness then multiplies by
// the mean probability over the pixels above the mask threshold; a mask without such a pixel gives score 0 and stays. A
// mask is the pixels of the original picture where its resized probabilities are above the threshold (strictly).
//
// resamplers: one per picture, their weights on the logits' device.
Detections find_instances(const Logits& logits, const std::vector<MaskResampler>& resamplers,
                          const InferenceConfig& config);

}  // namespace tessera::sparseinst
