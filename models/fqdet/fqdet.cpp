#include "models/fqdet/fqdet.h"

#include <algorithm>

#include "models/batch_images.h"
#include "ops/reduce.h"

namespace tessera::fqdet {

Losses FQDet::losses(const Batch& batch, const StepContext& /*context*/) {
  // Before the forward pass: a copy to a device that is computing may make the host wait.
  const Tensor images = batch_images(batch, device());
  const GroundTruth truth = detector_.ground_truth(batch);
  const Output output = detector_.forward(Var(images.to(training_dtype)), batch);
  Matches matches;
  return {detector_.losses(output, truth, matches)};
}

std::optional<XywhBox> to_original(const float* box, ImageSize resized, ImageSize original) {
  const auto along = [](double low, double high, i64 from, i64 to) {
    const double size = static_cast<double>(from), scale = static_cast<double>(to) / size;
    low = std::clamp(low, 0.0, size), high = std::clamp(high, 0.0, size);
    return std::pair{low * scale, (high - low) * scale};
  };
  const auto [x, width] = along(box[0], box[2], resized.width, original.width);
  const auto [y, height] = along(box[1], box[3], resized.height, original.height);
  if (!(width > 0 && height > 0)) return {};
  return XywhBox{x, y, width, height};
}

Detections FQDet::detect(const Batch& batch) {
  const Inference inference(*this);
  const Output output = detector_.forward(inference.images(batch), batch);
  const Predictions predictions = detector_.predict(output, given);
  const Tensor query = predictions.query.to_host(), classes = predictions.classes.to_host(),
               scores = predictions.scores.to_host(), boxes = predictions.boxes.to_host();
  check_found("scores", scores);
  check_found("boxes", boxes);
  const i64 n = output.selected.dim(1);
  Detections found;
  for (i64 b = 0; b < batch.size(); ++b) {
    std::vector<Instance>& instances = found.emplace_back();
    for (i64 p = predictions.first[static_cast<size_t>(b)]; p < predictions.first[static_cast<size_t>(b) + 1]; ++p)
      if (const auto box = to_original(boxes.data<float>() + 4 * p, batch.size_of(b),
                                       batch.samples[static_cast<size_t>(b)].original))
        instances.push_back(
            Instance::of_box(classes.data<i64>()[p], scores.data<float>()[p], *box, query.data<i64>()[p] - b * n));
  }
  return found;
}

std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed) {
  Random random(seed, stream_of("weights"));
  return std::make_unique<FQDet>(config, random);
}

}  // namespace tessera::fqdet
