#include "models/sparseinst/inference.h"

#include <cmath>
#include <limits>

#include "models/picture_runs.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera::sparseinst {

namespace {

// The lowest f32 that is above.
float next_above(double threshold) {
  const float nearest = static_cast<float>(threshold);
  return nearest > threshold ? nearest : std::nextafter(nearest, std::numeric_limits<float>::infinity());
}

}  // namespace

Detections find_instances(const Logits& logits, const std::vector<MaskResampler>& resamplers,
                          const InferenceConfig& config) {
  const i64 N = logits.masks.dim(0), Q = logits.masks.dim(1), h = logits.masks.dim(2), w = logits.masks.dim(3);
  Tensor probabilities = ops::sigmoid(logits.classes);
  if (logits.objectness && config.rescore)
    probabilities = ops::sqrt(ops::mul(probabilities, ops::sigmoid(logits.objectness)));
  const ops::MaxResult best = ops::max(probabilities, 2);  // [N, Q]
  const Tensor kept = ops::greater_equal(best.values, next_above(config.score_threshold)).reshape({N * Q});
  const Tensor maps = logits.masks.reshape({N * Q, h, w});

  std::vector<Tensor> numbers = {kept, best.values, best.indices};
  if (config.maskness) numbers.push_back(ops::maskness(maps, kept, config.mask_threshold));
  std::vector<PictureRuns> pictures;
  for (i64 n = 0; n < N; ++n) {
    const MaskResampler& resampler = resamplers[static_cast<size_t>(n)];
    pictures.push_back({resampler.original, [&, first = n * Q, last = (n + 1) * Q](i64 room) {
                          return ops::mask_runs(maps.rows(first, last), kept.rows(first, last), resampler.rows,
                                                resampler.columns, config.mask_threshold, room);
                        }});
  }
  std::vector<std::vector<Rle>> masks = masks_of(pictures, numbers);

  check_found("scores", numbers[1]);
  Detections found;
  for (i64 n = 0; n < N; ++n) {
    std::vector<Instance>& instances = found.emplace_back();
    for (i64 q = 0; q < Q; ++q) {
      const i64 i = n * Q + q;
      if (!numbers[0].data<u8>()[i]) continue;
      double score = double{numbers[1].data<float>()[i]};
      if (config.maskness) score *= double{numbers[3].data<float>()[i]};
      Rle& mask = masks[static_cast<size_t>(n)][static_cast<size_t>(q)];
      instances.push_back(Instance::of_mask(numbers[2].data<i64>()[i], score, std::move(mask), q));
    }
  }
  return found;
}

}  // namespace tessera::sparseinst
