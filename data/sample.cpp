#include "data/sample.h"

#include <algorithm>

namespace tessera {

std::string Sample::name() const {
  return file.empty() ? fmt::format("image {}", image_id) : file.string();
}

i64 Batch::objects() const {
  i64 count = 0;
  for (const Sample& sample : samples) count += sample.targets.count();
  return count;
}

Batch make_batch(std::vector<Sample> samples, const PixelStatistics& statistics, i64 divisor, ImageSize least) {
  TESSERA_CHECK(!samples.empty() && divisor > 0, "make_batch: {} samples, sides in multiples of {}", samples.size(),
                divisor);
  Batch batch;
  batch.padded = least;
  batch.statistics = statistics;
  for (const Sample& sample : samples) {
    TESSERA_CHECK(sample.image.rank() == 3 && sample.image.dim(2) == 3,
                  "make_batch: {}: expected a picture [h, w, 3], got {}", sample.name(), sample.image.shape());
    batch.padded.height = std::max(batch.padded.height, sample.image.dim(0));
    batch.padded.width = std::max(batch.padded.width, sample.image.dim(1));
  }
  for (i64* side : {&batch.padded.height, &batch.padded.width}) *side = (*side + divisor - 1) / divisor * divisor;
  batch.samples = std::move(samples);
  return batch;
}

}  // namespace tessera
