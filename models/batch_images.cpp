#include "models/batch_images.h"

#include "ops/normalize_pad.h"

namespace tessera {

Tensor batch_images(const Batch& batch, Device device) {
  std::vector<Tensor> images;
  for (const Sample& sample : batch.samples) images.push_back(sample.image.to(device));
  return ops::normalize_pad(images, batch.statistics.mean, batch.statistics.std, batch.padded.height,
                            batch.padded.width);
}

}  // namespace tessera
