// The activation maps of one picture: where each query of a network looks.
#pragma once

#include "data/sample.h"
#include "models/segmenter.h"

namespace tessera {

// Throws, naming who asks, unless the model has activation maps.
void check_activation_maps(const Segmenter& model, const char* who);

class ActivationMaps {
 public:
  // Runs the network on a batch of one picture.
  ActivationMaps(Segmenter& model, const Batch& batch);

  i64 count() const { return maps_.dim(3); }
  // The map of one query over the picture, without the padding, at any size: f32 [height, width], each value in [0, 1].
  Tensor map(i64 query, ImageSize size) const;

 private:
  Tensor maps_;  // [1, h, w, Q]
  ImageSize padded_, picture_;
};

}  // namespace tessera
