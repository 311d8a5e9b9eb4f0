#include "models/batch_images.h"

#include <doctest/doctest.h>

#include "tensor/device_runtime.h"

namespace tessera {

TEST_CASE(
    "batch_images: every byte becomes (byte - mean) / std, and zeros surround the picture, the same bits on all "
    "devices") {
  std::vector<Sample> samples(2);
  samples[0].image = Tensor::zeros({40, 9, 3}, DType::kU8);
  samples[1].image = Tensor::empty({16, 16, 3}, DType::kU8);
  for (i64 i = 0; i < 768; ++i) samples[1].image.data<u8>()[i] = static_cast<u8>(i / 3);  // all values of each channel
  for (const PixelStatistics& statistics : {PixelStatistics{}, PixelStatistics{{0.1f, 7, 200}, {0.3f, 255, 1}}}) {
    const Batch batch = make_batch(samples, statistics, 8);
    for (const Device device : present_devices()) {
      CAPTURE(device.str());
      const Tensor images = batch_images(batch, device);
      CHECK(images.device() == device);
      REQUIRE(images.shape() == Shape{2, 40, 16, 3});
      const Tensor host = images.to_host();
      const float* value = host.data<float>();
      for (i64 n = 0; n < 2; ++n)
        for (i64 y = 0; y < 40; ++y)
          for (i64 x = 0; x < 16; ++x)
            for (size_t c = 0; c < 3; ++c) {
              const ImageSize size = batch.size_of(n);
              const float byte = n == 0 ? 0.0f : static_cast<float>(16 * y + x);
              const float inside = (byte - statistics.mean[c]) / statistics.std[c];
              REQUIRE(*value++ == (y < size.height && x < size.width ? inside : 0.0f));
            }
    }
  }
}

}  // namespace tessera
