#include "data/noise.h"

#include <algorithm>

#include "tensor/random.h"

namespace tessera {

std::vector<Sample> noise_samples(i64 images, ImageSize size, i64 objects, i64 classes) {
  const auto [height, width] = size;
  const i64 side = std::min(height, width) / 3;
  TESSERA_CHECK(side > 0 && classes > 0, "noise: {} x {} pixels and {} classes are too few", height, width, classes);
  Random random(7);
  std::vector<Sample> samples;
  for (i64 n = 0; n < images; ++n) {
    Sample sample;
    sample.original = size;
    sample.image = Tensor::empty({height, width, 3}, DType::kU8);
    for (u8& value : sample.image.span<u8>()) value = static_cast<u8>(random.bits());
    sample.targets.masks = Tensor::zeros({objects, height, width}, DType::kU8);
    sample.targets.classes = Tensor::zeros({objects}, DType::kI64);
    sample.targets.boxes = Tensor::zeros({objects, 4});
    for (i64 k = 0; k < objects; ++k) {
      const i64 top = random.integer(0, height - side), left = random.integer(0, width - side);
      for (i64 y = top; y < top + side; ++y)
        std::fill_n(sample.targets.masks.data<u8>() + (k * height + y) * width + left, side, u8{1});
      const std::array<i64, 4> box = {left, top, left + side, top + side};
      std::transform(box.begin(), box.end(), sample.targets.boxes.data<float>() + 4 * k,
                     [](i64 value) { return static_cast<float>(value); });
      sample.targets.classes.data<i64>()[k] = random.integer(0, classes - 1);
      sample.targets.annotations.push_back(k + 1);
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace tessera
