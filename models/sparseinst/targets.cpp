#include "models/sparseinst/targets.h"

#include <algorithm>

#include "ops/interpolate.h"

namespace tessera {

SparseInstTargets make_targets(const Batch& batch, i64 height, i64 width, i64 num_classes, Device device) {
  const i64 H = batch.padded.height, W = batch.padded.width;
  SparseInstTargets targets;
  targets.first.push_back(0);
  for (const Sample& sample : batch.samples) {
    targets.names.push_back(sample.file.empty() ? fmt::format("image {}", sample.image_id) : sample.file.string());
    targets.first.push_back(targets.first.back() + sample.targets.count());
  }
  targets.maps = Tensor::empty({targets.count(), height * width});
  std::vector<i64> classes;

  for (size_t n = 0; n < batch.samples.size(); ++n) {
    const Targets& truth = batch.samples[n].targets;
    const i64 K = truth.count();
    if (K == 0) continue;
    const Tensor& masks = truth.masks;
    TESSERA_CHECK(masks.rank() == 3 && masks.dim(0) == K && masks.dim(1) <= H && masks.dim(2) <= W,
                  "sparseinst targets: {} objects of {} have masks {}, the padded input is {} x {}", K,
                  targets.names[n], masks.shape(), H, W);
    for (i64 k = 0; k < K; ++k) {
      const i64 label = truth.classes.data<i64>()[k];
      TESSERA_CHECK(label >= 0 && label < num_classes, "sparseinst targets: {} has class {}, the model has {} classes",
                    targets.names[n], label, num_classes);
      classes.push_back(label);
      Tensor padded = Tensor::zeros({1, H, W, 1});
      for (i64 y = 0; y < masks.dim(1); ++y) {
        const u8* row = masks.data<u8>() + (k * masks.dim(1) + y) * masks.dim(2);
        std::transform(row, row + masks.dim(2), padded.data<float>() + y * W,
                       [](u8 value) { return value ? 1.0f : 0.0f; });
      }
      targets.maps.rows(targets.first[n] + k, targets.first[n] + k + 1)
          .copy_from(ops::interpolate(padded, height, width, ops::Interpolation::kBilinear, false)
                         .reshape({1, height * width}));
    }
  }
  targets.maps = targets.maps.to(device);
  targets.classes = Tensor::from(classes).to(device);
  return targets;
}

}  // namespace tessera
