// The pictures of a batch as a network's input, and its objects as mask heads learn them.
#pragma once

#include "data/sample.h"

namespace tessera {

// f32 [N, batch.padded.height, batch.padded.width, 3] on `device`, normalised, zeros to the right of and below each
// picture. The bytes travel, a quarter of what the network takes, and the device makes floats of them.
Tensor batch_images(const Batch& batch, Device device);

// The T objects of a batch, one picture after the other.
struct ObjectMasks {
  Tensor masks;    // f32 [T, H, W, 1], 0 or 1, each in the corner of the padded size
  Tensor classes;  // i64 [T]
};
ObjectMasks object_masks(const Batch& batch, Device device);

}  // namespace tessera
