// The instance activation maps of one picture: where each query of a SparseInst looks.
#pragma once

#include "data/sample.h"
#include "models/segmenter.h"

namespace tessera {

// How many maps a model has for a picture; throws, naming `who` asks, when it has none.
i64 activation_map_count(Segmenter& model, const char* who);

class ActivationMaps {
 public:
  // Runs the network on a batch of one picture.
  ActivationMaps(Segmenter& model, const Batch& batch, const char* who);

  i64 count() const { return maps_.dim(3); }
  // The map of one query over the picture, without the padding, at any size: f32 [height, width], each value in [0, 1].
  Tensor map(i64 query, ImageSize size) const;

 private:
  Tensor maps_;  // [1, h, w, Q], of a group decoder the mean of the groups
  ImageSize padded_, picture_;
};

}  // namespace tessera
