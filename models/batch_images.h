// The pictures of a batch as a network's input.
#pragma once

#include "data/sample.h"

namespace tessera {

// f32 [N, batch.padded.height, batch.padded.width, 3] on `device`, normalised, zeros to the right of and below each
// picture. The bytes travel, a quarter of what the network takes, and the device makes floats of them.
Tensor batch_images(const Batch& batch, Device device);

}  // namespace tessera
