#include "train/memory.h"

#include <algorithm>
#include <cstdint>

#include "data/noise.h"
#include "tensor/allocator.h"

namespace tessera {

namespace {

// The input of the largest batch: its sides are those of the highest and the widest picture that can meet in it.
ImageSize largest_input(const Config& config, const CocoSource& data) {
  const AugmentConfig augment = config.augment.config(config.input);
  if (augment.scale_jitter) return augment.scale_jitter->target;
  ImageSize tall, wide;
  for (i64 i = 0; i < data.size(); ++i) {
    const ImageSize size =
        shortest_side_size(data.original_size(i), std::ranges::max(augment.shortest), augment.longest, augment.resize);
    ImageSize& largest = config.data.group_by_aspect && size.height > size.width ? tall : wide;
    largest = {std::max(largest.height, size.height), std::max(largest.width, size.width)};
    if (augment.rotate_90_probability > 0) {  // one of a batch may lie, another stand
      const i64 side = std::max(largest.height, largest.width);
      largest = {side, side};
    }
  }
  return tall.height * tall.width > wide.height * wide.width ? tall : wide;
}

std::string gib(size_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

}  // namespace

std::string MemoryEstimate::str() const {
  return fmt::format("about {} for a step of {} pictures of {} x {} ({} of it weights, gradients and moments), {}",
                     gib(total()), pictures, size.height, size.width, gib(parameters),
                     available == SIZE_MAX ? "not limited" : gib(available) + " available");
}

MemoryEstimate estimate_memory(const Config& config, const CocoSource& data, Device device) {
  const TrainingConfig& training = config.training;
  const MemoryReport now = memory_report(device);  // with the model that is to be trained on it
  MemoryEstimate estimate{.available = now.free == SIZE_MAX ? SIZE_MAX : now.free + now.cached + now.allocated,
                          .pictures = training.batch_size};
  const std::unique_ptr<Segmenter> model = make_model(config.model, training.seed);
  apply_groups(config.optimizer, *model);
  model->to(device);
  if (training.mixed_precision && device.kind != DeviceKind::kCpu) model->training_dtype = DType::kBF16;
  model->train();

  const i64 weights = nn::count_parameters(*model), trained = nn::count_parameters(*model, true);
  const i64 moments = config.optimizer.kind == OptimizerKind::kAdamW ? 2 : 1;
  const i64 averages = training.ema_decay > 0 ? weights : 0;
  estimate.parameters = static_cast<size_t>(weights + trained * (1 + moments) + averages) * sizeof(float);

  i64 objects = 0;
  for (i64 i = 0; i < data.size(); ++i) objects += data.objects(i);
  const i64 mean_objects = std::max<i64>(1, objects / data.size());
  const auto padded = [&](i64 side) {
    return (side + config.input.divisor - 1) / config.input.divisor * config.input.divisor;
  };
  // The most memory of a step on one picture, beside what is there before it.
  const auto measure = [&](i64 side) {
    reset_peak(device);
    const size_t before = memory_report(device).allocated;
    const Batch batch = make_batch(noise_samples(1, {side, side}, mean_objects, config.model.num_classes()),
                                   config.input.statistics(), config.input.divisor);
    model->losses(batch, {}).total().backward();
    return static_cast<double>(memory_report(device).peak - before);
  };
  const i64 small = padded(96), large = padded(2 * small);
  measure(small);  // from here on the gradients are there
  const double at_small = measure(small), at_large = measure(large);
  const double per_pixel = (at_large - at_small) / static_cast<double>(large * large - small * small);
  const ImageSize size = largest_input(config, data);
  estimate.size = {padded(size.height), padded(size.width)};
  const double pixels = static_cast<double>(estimate.pictures * estimate.size.height * estimate.size.width);
  estimate.activations =
      static_cast<size_t>(std::max(0.0, at_small + per_pixel * (pixels - static_cast<double>(small * small))));
  return estimate;
}

}  // namespace tessera
