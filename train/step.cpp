#include "train/step.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <vector>

#include "ops/arrange.h"
#include "ops/reduce.h"
#include "tensor/allocator.h"

namespace tessera {

namespace {

std::string image_names(std::span<const Batch> batches) {
  std::string names;
  for (const Batch& batch : batches)
    for (const Sample& sample : batch.samples) names += (names.empty() ? "" : ", ") + sample.file.filename().string();
  return names;
}

// This process's shares of the batches of an update, and what the losses of each weigh in it: that depends on the
// others (Segmenter::normalisers), so all of them come first.
struct StepBatches {
  std::vector<Batch> batches;
  std::vector<std::vector<double>> weights;
  i64 images = 0;

  StepBatches(const Segmenter& model, Loader& loader, i64 count, Communicator& communicator) {
    std::vector<double> sides;
    for (i64 i = 0; i < count; ++i) {
      batches.push_back(*loader.next());
      images += batches.back().size();
      for (const i64 side : {batches.back().padded.height, batches.back().padded.width})
        sides.push_back(static_cast<double>(side));
    }
    // A batch is padded alike on all ranks.
    for (const std::vector<double>& of_rank : communicator.gather(sides))
      for (size_t i = 0; i < sides.size(); ++i) sides[i] = std::max(sides[i], of_rank[i]);
    std::vector<double> normalisers;
    for (size_t i = 0; i < batches.size(); ++i) {
      batches[i].padded = {static_cast<i64>(sides[2 * i]), static_cast<i64>(sides[2 * i + 1])};
      std::ranges::copy(model.normalisers(batches[i]), std::back_inserter(normalisers));
    }
    const size_t kinds = normalisers.size() / batches.size();
    std::vector<double> sums(kinds);
    for (const std::vector<double>& of_rank : communicator.gather(normalisers))
      for (size_t i = 0; i < of_rank.size(); ++i) sums[i % kinds] += of_rank[i];
    for (size_t i = 0; i < batches.size(); ++i) {
      std::vector<double>& weight = weights.emplace_back();
      for (size_t k = 0; k < kinds; ++k)
        weight.push_back(std::max(1.0, normalisers[i * kinds + k]) / std::max(1.0, sums[k]));
      if (kinds == 0) weight = {1 / static_cast<double>(count)};
    }
  }
};

std::string refusal(i64 step, std::span<const Batch> culprits, const Error& error) {
  return fmt::format("step {}, images {}: {}; the weights were not updated", step, image_names(culprits), error.what());
}

// The losses into the record, or what is wrong: then the update is taken back, on all ranks.
void read(const Tensor& numbers, const std::vector<Batch>& batches, const std::vector<BatchLosses>& results,
          Optimizer& optimizer, StepRecord& record, Communicator& communicator) {
  const double* number = numbers.data<double>();
  record.grad_norm = *number++;
  bool finite = std::isfinite(record.grad_norm);
  if (communicator.size() > 1) finite &= std::isfinite(*number++);  // the sum of what all ranks watch
  std::span<const Batch> culprits = batches;
  std::string wrong;
  try {
    for (size_t i = 0; i < batches.size(); ++i) {
      culprits = {&batches[i], 1};
      results[i].read(number, batches[i], record);
    }
  } catch (const Error& error) {
    wrong = refusal(record.step, culprits, error);
  }
  if (finite && wrong.empty()) return;
  optimizer.take_back();
  const std::vector<std::string> all = communicator.gather(wrong);
  for (size_t rank = 0; rank < all.size(); ++rank)
    if (!all[rank].empty())
      fail("{}{}", communicator.size() > 1 ? communicator.name(static_cast<i64>(rank)) + ": " : "", all[rank]);
  fail("{}", refusal(record.step, batches,
                     Error(fmt::format("the gradient of {} is not finite", optimizer.first_non_finite()))));
}

// This rank's losses and images become those of all. seconds: of the step; waited: of these, for others.
void add_ranks(StepRecord& record, i64& images, double seconds, double waited, Communicator& communicator) {
  std::vector<double> mine{seconds, waited, static_cast<double>(images), record.loss};
  for (const auto& [name, value] : record.losses) mine.push_back(value);
  std::vector<double> sums(mine.size());
  for (const std::vector<double>& of_rank : communicator.gather(mine)) {
    record.ranks.push_back({.waiting_milliseconds = of_rank[1] * 1e3,
                            .images_per_second = of_rank[2] / std::max(1e-9, of_rank[0] - of_rank[1])});
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += of_rank[i];
  }
  images = static_cast<i64>(sums[2]);
  record.loss = sums[3];
  for (size_t i = 0; i < record.losses.size(); ++i) record.losses[i].second = sums[4 + i];
}

}  // namespace

// All of its work is launched before the host waits for the device, once, to read what it gave: whether the update
// counts is decided there (ops/optimizer.h).
StepRecord train_step(Segmenter& model, const Buffers& buffers, const Config& config, double pictures,
                      TrainingState& state, Loader& loader, Communicator& communicator, GradientSums& sums) {
  const auto start = std::chrono::steady_clock::now();
  const double waited = communicator.waited();
  const double factor = lr_factor(config.schedule, state.step, config.training.steps);
  StepRecord record{.step = state.step + 1, .losses = {}, .lr = config.optimizer.lr * factor};
  const Device device = model.device();
  reset_peak(device);

  const StepBatches data(model, loader, config.training.accumulate, communicator);
  const StepContext context{.step = state.step,
                            .epoch = static_cast<double>(state.batches * config.training.batch_size) / pictures,
                            .seed = config.training.seed};
  std::vector<BatchLosses> results;
  std::vector<Tensor> watched_parts;
  const bool several = communicator.size() > 1;
  for (size_t i = 0; i < data.batches.size(); ++i) {
    try {
      const bool last = i + 1 == data.batches.size();
      results.push_back(
          state.passes(model, data.batches[i], data.weights[i], context, several && last ? &sums : nullptr));
      results.back().watch(watched_parts);
    } catch (const RanksError&) {
      throw;
    } catch (const Error& error) {
      fail("{}", refusal(record.step, {&data.batches[i], 1}, error));
    }
  }
  sums.finish();
  if (several && !config.training.sync_batch_norm) communicator.broadcast(buffers.tensors());  // of another share each

  // Clip, update, average. What is not finite on one rank is not on any: their sum is watched, too.
  Tensor watched = ops::concat(watched_parts, 0);
  if (several) {
    const Tensor of_all = ops::sum(watched).reshape({1});
    communicator.sum(of_all);
    watched = ops::concat({of_all, watched}, 0);
  }
  const auto [norm, scale] = state.optimizer.clip(watched);
  const Tensor norm_and_watched = ops::concat({norm, watched.to(DType::kF64)}, 0);
  state.updating = true;
  state.optimizer.step(factor, scale);
  if (state.ema) state.ema->update(state.step + 1, scale);
  const Tensor numbers = norm_and_watched.to_host();
  state.updating = false;
  read(numbers, data.batches, results, state.optimizer, record, communicator);
  state.optimizer.zero_grad();
  state.step += 1;
  state.batches = loader.position();

  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  i64 images = data.images;
  add_ranks(record, images, elapsed(), communicator.waited() - waited, communicator);
  const double seconds = elapsed();
  record.milliseconds = seconds * 1e3;
  record.images_per_second = static_cast<double>(images) / seconds;
  record.memory_mb = static_cast<double>(memory_report(device).peak) / 1e6;
  return record;
}

}  // namespace tessera
