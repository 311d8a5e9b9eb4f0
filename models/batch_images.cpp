#include "models/batch_images.h"

#include "ops/arrange.h"
#include "ops/normalize_pad.h"

namespace tessera {

Tensor batch_images(const Batch& batch, Device device) {
  std::vector<Tensor> images;
  for (const Sample& sample : batch.samples) images.push_back(sample.image.to(device));
  return ops::normalize_pad(images, batch.statistics.mean, batch.statistics.std, batch.padded.height,
                            batch.padded.width);
}

ObjectMasks object_masks(const Batch& batch, Device device) {
  const i64 T = batch.objects(), H = batch.padded.height, W = batch.padded.width;
  Tensor masks = Tensor::empty({T, H, W}, DType::kF32, device);
  std::vector<i64> classes;
  for (const Sample& sample : batch.samples) {
    const i64 K = sample.targets.count(), first = std::ssize(classes);
    if (K == 0) continue;
    // A byte per pixel travels to the device; floats are made there.
    const Tensor part = sample.targets.masks.to(device).to(DType::kF32);  // [K, h, w]
    masks.rows(first, first + K)
        .copy_from(ops::slice_backward(ops::slice_backward(part, {K, part.dim(1), W}, 2, 0), {K, H, W}, 1, 0));
    for (const i64 label : sample.targets.classes.span<i64>()) classes.push_back(label);
  }
  return {masks.reshape({T, H, W, 1}), Tensor::from(classes).to(device)};
}

}  // namespace tessera
