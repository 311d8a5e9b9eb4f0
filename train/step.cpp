#include "train/step.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <vector>

#include "ops/arrange.h"
#include "tensor/allocator.h"

namespace tessera {

namespace {

std::string image_names(std::span<const Batch> batches) {
  std::string names;
  for (const Batch& batch : batches)
    for (const Sample& sample : batch.samples) names += (names.empty() ? "" : ", ") + sample.file.filename().string();
  return names;
}

// The batches of an update, and what the losses of each weigh in it: that depends on the others
// (Segmenter::normaliser), so all of them come first.
struct StepBatches {
  std::vector<Batch> batches;
  std::vector<double> weights;
  i64 images = 0;

  StepBatches(const Segmenter& model, Loader& loader, i64 count) {
    double normaliser = 0;
    for (i64 i = 0; i < count; ++i) {
      batches.push_back(*loader.next());
      images += batches.back().size();
      weights.push_back(model.normaliser(batches.back()));
      normaliser += weights.back();
    }
    for (double& weight : weights) weight = std::max(1.0, weight) / std::max(1.0, normaliser);
  }
};

[[noreturn]] void refuse(i64 step, std::span<const Batch> culprits, const Error& error) {
  fail("step {}, images {}: {}; the weights were not updated", step, image_names(culprits), error.what());
}

// The losses into the record, or what is wrong: then the update is taken back.
void read(const Tensor& numbers, const std::vector<Batch>& batches, const std::vector<BatchLosses>& results,
          Optimizer& optimizer, StepRecord& record) {
  const double* number = numbers.data<double>();
  record.grad_norm = *number++;
  std::span<const Batch> culprits = batches;
  try {
    for (size_t i = 0; i < batches.size(); ++i) {
      culprits = {&batches[i], 1};
      results[i].read(number, batches[i], record);
    }
    culprits = batches;
    TESSERA_CHECK(std::isfinite(record.grad_norm), "the gradient of {} is not finite", optimizer.first_non_finite());
  } catch (const Error& error) {
    optimizer.take_back();
    refuse(record.step, culprits, error);
  }
}

}  // namespace

// All of its work is launched before the host waits for the device, once, to read what it gave: whether the update
// counts is decided there (ops/optimizer.h).
StepRecord train_step(Segmenter& model, const Config& config, i64 pictures, TrainingState& state, Loader& loader) {
  const auto start = std::chrono::steady_clock::now();
  const double factor = lr_factor(config.schedule, state.step, config.training.steps);
  StepRecord record{.step = state.step + 1, .losses = {}, .lr = config.optimizer.lr * factor};
  const Device device = model.device();
  reset_peak(device);

  const StepBatches data(model, loader, config.training.accumulate);
  const StepContext context{
      .step = state.step,
      .epoch = static_cast<double>(state.batches * config.training.batch_size) / static_cast<double>(pictures),
      .seed = config.training.seed};
  std::vector<BatchLosses> results;
  std::vector<Tensor> watched_parts;
  for (size_t i = 0; i < data.batches.size(); ++i) {
    try {
      results.push_back(state.passes(model, data.batches[i], data.weights[i], context));
      results.back().watch(watched_parts);
    } catch (const Error& error) {
      refuse(record.step, {&data.batches[i], 1}, error);
    }
  }

  // Clip, update, average.
  const Tensor watched = ops::concat(watched_parts, 0);
  const auto [norm, scale] = state.optimizer.clip(watched);
  const Tensor norm_and_watched = ops::concat({norm, watched.to(DType::kF64)}, 0);
  state.updating = true;
  state.optimizer.step(factor, scale);
  if (state.ema) state.ema->update(state.step + 1, scale);
  const Tensor numbers = norm_and_watched.to_host();
  state.updating = false;
  read(numbers, data.batches, results, state.optimizer, record);
  state.optimizer.zero_grad();
  state.step += 1;
  state.batches = loader.position();

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  record.milliseconds = seconds * 1e3;
  record.images_per_second = static_cast<double>(data.images) / seconds;
  record.memory_mb = static_cast<double>(memory_report(device).peak) / 1e6;
  return record;
}

}  // namespace tessera
