#include "models/sparseinst/targets.h"

#include <algorithm>

#include "ops/arrange.h"
#include "ops/interpolate.h"

namespace tessera::sparseinst {

namespace {

constexpr i64 kAtOnce = 16;  // masks that are floats at full size at the same time

// Zeros behind x, up to `size` in that dimension.
Tensor pad(const Tensor& x, int dim, i64 size) {
  if (x.dim(dim) == size) return x;
  Shape shape = x.shape();
  shape[dim] = size;
  return ops::slice_backward(x, shape, dim, 0);
}

// u8 [K, h, w], placed into [H, W] and resized: f32 [K, height width].
Tensor resize_masks(const Tensor& masks, i64 H, i64 W, i64 height, i64 width) {
  const Tensor padded = pad(pad(masks.to(DType::kF32), 1, H), 2, W).reshape({masks.dim(0), H, W, 1});
  return ops::interpolate(padded, height, width, ops::Interpolation::kBilinear).reshape({masks.dim(0), height * width});
}

}  // namespace

MaskTargets make_targets(const Batch& batch, i64 height, i64 width, i64 num_classes, Device device) {
  const i64 H = batch.padded.height, W = batch.padded.width;
  MaskTargets targets;
  targets.first.push_back(0);
  for (const Sample& sample : batch.samples) targets.first.push_back(targets.first.back() + sample.targets.count());
  targets.maps = Tensor::empty({targets.count(), height * width}, DType::kF32, device);
  std::vector<i64> classes;
  for (size_t n = 0; n < batch.samples.size(); ++n) {
    const Targets& truth = batch.samples[n].targets;
    const i64 K = truth.count();
    if (K == 0) continue;
    const Tensor& masks = truth.masks;
    TESSERA_CHECK(masks.rank() == 3 && masks.dim(0) == K && masks.dim(1) <= H && masks.dim(2) <= W,
                  "sparseinst targets: {} objects of {} have masks {}, the padded input is {} x {}", K,
                  batch.samples[n].name(), masks.shape(), H, W);
    for (const i64 label : truth.classes.span<i64>()) {
      TESSERA_CHECK(label >= 0 && label < num_classes, "sparseinst targets: {} has class {}, the model has {} classes",
                    batch.samples[n].name(), label, num_classes);
      classes.push_back(label);
    }
    // A byte per pixel travels to the device; floats are made there.
    for (i64 begin = 0; begin < K; begin += kAtOnce) {
      const i64 end = std::min(begin + kAtOnce, K), first = targets.first[n];
      targets.maps.rows(first + begin, first + end)
          .copy_from(resize_masks(masks.rows(begin, end).to(device), H, W, height, width));
    }
  }
  targets.classes = Tensor::from(classes).to(device);
  return targets;
}

}  // namespace tessera::sparseinst
