// A small pyramid, RoIs on it and objects for them: what the tests of mask heads stand on.
#pragma once

#include <cmath>

#include "models/roi_heads/mask_head.h"
#include "tests/ops/compare.h"

namespace tessera::test {

struct SmallRois {
  ImageSize padded{96, 128};
  std::vector<Var> maps;  // P2 .. P6
  roi_heads::Rois rois;
  roi_heads::RoiTargets targets;
};

// Boxes of three levels in `pictures` pictures, in turn, the large ones over the edge; the object of each is a disc in
// the box, one for two RoIs.
inline SmallRois small_rois(i64 R, i64 channels, i64 pictures = 2) {
  Random random(11);
  SmallRois s;
  const i64 H = s.padded.height, W = s.padded.width;
  for (i64 stride = 4; stride <= 64; stride *= 2)
    s.maps.emplace_back(
        random_tensor(random, {pictures, (H + stride - 1) / stride, (W + stride - 1) / stride, channels}, DType::kF32),
        true);
  Tensor boxes = Tensor::empty({R, 4}), masks = Tensor::zeros({(R + 1) / 2, H, W, 1});
  std::vector<i64> image, object;
  for (i64 r = 0; r < R; ++r) {
    const double size = r % 3 == 0 ? 18 : r % 3 == 1 ? 130 : 250;  // of levels P2, P3 and P4
    const double w = size * random.uniform(1, 1.2), h = size * random.uniform(0.9, 1);
    const double x = random.uniform(20, 100) - w / 2, y = random.uniform(20, 70) - h / 2;
    float* box = boxes.data<float>() + 4 * r;
    box[0] = static_cast<float>(x);
    box[1] = static_cast<float>(y);
    box[2] = static_cast<float>(x + w);
    box[3] = static_cast<float>(y + h);
    image.push_back(r % pictures);
    object.push_back(r / 2);
    for (i64 v = 0; r % 2 == 0 && v < H; ++v)
      for (i64 u = 0; u < W; ++u) {
        const double dx = (static_cast<double>(u) + 0.5 - x) / w - 0.5,
                     dy = (static_cast<double>(v) + 0.5 - y) / h - 0.5;
        if (dx * dx + dy * dy < 0.16) masks.data<float>()[(r / 2 * H + v) * W + u] = 1;
      }
  }
  s.rois = {Var(boxes, true), Var(random_tensor(random, {R, channels}, DType::kF32), true), Tensor::from(image),
            Tensor::zeros({R}, DType::kI64)};
  s.targets = {masks, Tensor::from(object), R};
  return s;
}

// The same on another device, with features in another type.
inline SmallRois on(const SmallRois& s, Device device, DType dtype) {
  SmallRois copy = s;
  for (Var& map : copy.maps) map = Var(map.value().to(device).to(dtype), true);
  copy.rois = {Var(s.rois.boxes.value().to(device), true), Var(s.rois.queries.value().to(device).to(dtype), true),
               s.rois.image.to(device), s.rois.classes.to(device)};
  copy.targets = {s.targets.masks.to(device), s.targets.object.to(device), s.targets.matches};
  return copy;
}

}  // namespace tessera::test
