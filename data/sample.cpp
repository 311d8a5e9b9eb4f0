#include "data/sample.h"

#include <algorithm>

namespace tessera {

namespace {

// Writes a u8 picture [h, w, 3] as floats into the top-left corner of a zeroed picture whose rows hold `row_pitch`
// floats.
void normalise_into(const Tensor& image, const PixelStatistics& statistics, float* out, i64 row_pitch) {
  // A byte has 256 values: a table gives exactly the quotient, without a division per pixel.
  std::array<std::array<float, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t value = 0; value < 256; ++value) {
      table[c][value] = (static_cast<float>(value) - statistics.mean[c]) / statistics.std[c];
    }
  }
  const i64 height = image.dim(0), width = image.dim(1);
  const u8* in = image.data<u8>();
  for (i64 y = 0; y < height; ++y, in += 3 * width) {
    float* row = out + y * row_pitch;
    for (i64 x = 0; x < 3 * width; x += 3) {
      row[x] = table[0][in[x]];
      row[x + 1] = table[1][in[x + 1]];
      row[x + 2] = table[2][in[x + 2]];
    }
  }
}

}  // namespace

Batch make_batch(std::vector<Sample> samples, const PixelStatistics& statistics, i64 divisor) {
  TESSERA_CHECK(!samples.empty() && divisor > 0, "make_batch: {} samples, sides in multiples of {}", samples.size(),
                divisor);
  for (const float std : statistics.std) TESSERA_CHECK(std > 0, "make_batch: a standard deviation is {}", std);
  i64 height = 0, width = 0;
  for (const Sample& sample : samples) {
    TESSERA_CHECK(sample.image.rank() == 3 && sample.image.dim(2) == 3,
                  "make_batch: {}: expected a picture [h, w, 3], got {}", sample.file.string(), sample.image.shape());
    height = std::max(height, sample.image.dim(0));
    width = std::max(width, sample.image.dim(1));
  }
  height = (height + divisor - 1) / divisor * divisor;
  width = (width + divisor - 1) / divisor * divisor;
  Batch batch;
  batch.images = Tensor::zeros({static_cast<i64>(samples.size()), height, width, 3});
  float* out = batch.images.data<float>();
  for (const Sample& sample : samples) {
    normalise_into(sample.image, statistics, out, width * 3);
    out += height * width * 3;
  }
  batch.samples = std::move(samples);
  return batch;
}

}  // namespace tessera
