#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <utility>

#include "eval/score.h"
#include "ops/arrange.h"
#include "tensor/allocator.h"
#include "tensor/file.h"
#include "train/resume.h"
#include "train/signals.h"
#include "train/sources.h"

namespace tessera {

namespace {

std::string image_names(std::span<const Batch> batches) {
  std::string names;
  for (const Batch& batch : batches)
    for (const Sample& sample : batch.samples) names += (names.empty() ? "" : ", ") + sample.file.filename().string();
  return names;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void add_to(Figures& figures, const std::string& name, double value) {
  const auto place =
      std::find_if(figures.begin(), figures.end(), [&](const auto& known) { return known.first == name; });
  if (place == figures.end()) {
    figures.emplace_back(name, value);
  } else {
    place->second += value;
  }
}

// What one batch gave, on the device: the host reads marks, terms and total, in this order, when the whole step has
// been launched.
struct BatchLosses {
  Losses losses;
  Var total;
  double weight = 1;

  void watch(std::vector<Tensor>& numbers) const {
    for (const FiniteMarks& marks : losses.marks) numbers.push_back(marks.marks);
    for (const LossTerm& term : losses.terms) numbers.push_back(term.value.value().reshape({1}));
    numbers.push_back(total.value().reshape({1}));
  }

  // Throws what is not finite, or else adds the losses to the record. Moves on behind the batch's numbers.
  void read(const double*& number, StepRecord& record) const {
    for (const FiniteMarks& marks : losses.marks)
      for (const std::string& message : marks.messages) TESSERA_CHECK(std::isfinite(*number++), "{}", message);
    std::string values, bad;
    const auto take = [&](const std::string& name) {
      values += fmt::format("{}{} {:.6g}", values.empty() ? "" : ", ", name, *number);
      if (!std::isfinite(*number) && bad.empty()) bad = name;
      return weight * *number++;
    };
    for (const LossTerm& term : losses.terms) add_to(record.losses, term.name, take(term.name));
    record.loss += take("their sum");
    TESSERA_CHECK(bad.empty(), "{} is not finite ({})", bad, values);
  }
};

// The buffers of a model, running statistics for example: forward passes change them before it is known whether the
// step counts.
class Buffers {
 public:
  explicit Buffers(nn::Module& model) {
    for (const nn::StateEntry& entry : nn::state(model))
      if (!entry.parameter) kept_.push_back({entry.tensor, entry.tensor.clone()});
  }
  void keep() {
    for (auto& [buffer, copy] : kept_) copy.copy_from(buffer);
  }
  void put_back() {
    for (auto& [buffer, copy] : kept_) buffer.copy_from(copy);
  }

 private:
  std::vector<std::pair<Tensor, Tensor>> kept_;
};

// One update from `accumulate` batches. All of its work is launched before the host waits for the device, once, to read
// what it gave: whether the update counts is decided there (ops/optimizer.h).
StepRecord train_step(Segmenter& model, const Job& job, TrainingState& state, Loader& loader) {
  const auto start = std::chrono::steady_clock::now();
  const Config& config = job.config;
  const double factor = lr_factor(config.schedule, state.step, config.training.steps);
  StepRecord record{.step = state.step + 1, .losses = {}, .lr = config.optimizer.lr * factor};
  const Device device = model.device();
  reset_peak(device);

  // Data. All batches first: how much the losses of one weigh depends on the others (Segmenter::normaliser).
  std::vector<Batch> batches;
  i64 images = 0;
  double normaliser = 0;
  for (i64 i = 0; i < config.training.accumulate; ++i) {
    batches.push_back(*loader.next());
    images += batches.back().size();
    normaliser += model.normaliser(batches.back());
  }
  const auto refuse = [&](std::span<const Batch> culprits, const Error& error) {
    fail("step {}, images {}: {}; the weights were not updated", record.step, image_names(culprits), error.what());
  };
  const StepContext context{
      .step = state.step,
      .epoch = static_cast<double>(state.batches * config.training.batch_size) / static_cast<double>(job.data->size()),
      .seed = config.training.seed};
  std::vector<BatchLosses> results;
  std::vector<Tensor> watched_parts;
  for (const Batch& batch : batches) {
    try {
      // Forward, loss.
      BatchLosses& result = results.emplace_back(model.losses(batch, context));
      result.total = result.losses.total();
      result.weight = std::max(1.0, model.normaliser(batch)) / std::max(1.0, normaliser);
      result.watch(watched_parts);
      // Backward.
      const Tensor& total = result.total.value();
      result.total.backward(Tensor::full(total.shape(), result.weight, total.dtype(), total.device()));
    } catch (const Error& error) {
      refuse({&batch, 1}, error);
    }
  }

  // Clip, update, average.
  const Tensor watched = ops::concat(watched_parts, 0);
  const auto [norm, scale] = state.optimizer.clip(watched);
  const Tensor norm_and_watched = ops::concat({norm, watched.to(DType::kF64)}, 0);
  state.updating = true;
  state.optimizer.step(factor, scale);
  if (state.ema) state.ema->update(state.step + 1, scale);

  // Read.
  const Tensor numbers = norm_and_watched.to_host();
  state.updating = false;
  const double* number = numbers.data<double>();
  record.grad_norm = *number++;
  std::span<const Batch> culprits = batches;
  try {
    for (size_t i = 0; i < batches.size(); ++i) {
      culprits = {&batches[i], 1};
      results[i].read(number, record);
    }
    culprits = batches;
    TESSERA_CHECK(std::isfinite(record.grad_norm), "the gradient of {} is not finite",
                  state.optimizer.first_non_finite());
  } catch (const Error& error) {
    state.optimizer.take_back();
    refuse(culprits, error);
  }
  state.optimizer.zero_grad();
  state.step += 1;
  state.batches = loader.position();

  const double seconds = seconds_since(start);
  record.milliseconds = seconds * 1e3;
  record.images_per_second = static_cast<double>(images) / seconds;
  record.memory_mb = static_cast<double>(memory_report(device).peak) / 1e6;
  return record;
}

// The scores of the model, or of its averaged weights where there are any.
std::optional<Scores> evaluate(Segmenter& model, const Job& job, TrainingState& state) {
  const NoGrad no_grad;
  const AveragedWeights averaged(state.ema ? &*state.ema : nullptr);
  model.eval();
  std::optional<Scores> scores = job.evaluate(model);
  model.train();
  return scores;
}

// The first figure of the metric that decides which checkpoint is the best.
double merit(const Scores& scores, const std::string& metric) {
  for (const auto& [name, figures] : scores)
    if (name == find_metric(metric).short_name() && !figures.empty()) return figures.front().second;
  fail("evaluation: there are no figures for {}", metric);
}

void restore(Segmenter& model, const Job& job, TrainingState& state, const Checkpoint& checkpoint) {
  const CheckpointInfo& info = checkpoint.info();
  TESSERA_CHECK(info.classes == job.classes && info.category_ids == job.category_ids,
                "{}: was trained on other classes than those of the training data", checkpoint.path().string());
  const std::vector<OptionChange> changes = changes_on_resume(checkpoint, job.config);
  checkpoint.restore(model, state.optimizer, state.ema ? &*state.ema : nullptr);
  state.step = info.step;
  state.batches = info.loader_position;
  state.evaluated = info.evaluated;
  const bool comparable = std::none_of(changes.begin(), changes.end(), [](const auto& c) { return c.new_figures; });
  if (comparable) state.best = info.best;
  // An evaluation of this very step came after the checkpoint.
  const Scores scores = logged_evaluation(job.folder, state.step);
  if (scores.empty()) return;
  state.evaluated = state.step;
  if (comparable) state.best = std::max(state.best, merit(scores, job.config.evaluation.metric));
}

}  // namespace

int train(Segmenter& model, const Job& given) {
  Job job = given;
  resolve_epochs(job.config, job.data->size());
  const Config& config = job.config;
  const i64 steps = config.training.steps;
  const ArithmeticScope arithmetic({.precision = config.training.precision, .winograd = config.training.winograd});

  const bool mixed = config.training.mixed_precision;
  TESSERA_CHECK(!mixed || model.device().kind != DeviceKind::kCpu,
                "training.mixed_precision: the CPU has no kernels for bf16 activations; train on a device (--device "
                "cuda), or set training.precision = \"medium\" for bf16 products");
  TESSERA_CHECK(!job.evaluate || model.has_masks() || !find_metric(config.evaluation.metric).compares_masks(),
                "evaluation.metric = \"{}\" compares masks, and the network has none: name a metric of boxes, \"bbox\"",
                config.evaluation.metric);
  model.training_dtype = mixed ? DType::kBF16 : DType::kF32;

  TrainingState state{.optimizer = Optimizer(config.optimizer, model), .ema = {}};
  if (config.training.ema_decay > 0) state.ema.emplace(model, config.training.ema_decay);
  std::filesystem::path saved;  // the checkpoint of step saved_step; empty: there is none
  if (job.resume) {
    if (const std::optional<Checkpoint> last = last_checkpoint(job.folder)) {
      restore(model, job, state, *last);
      saved = last->path();
    }
  }
  i64 saved_step = state.step;
  Buffers buffers(model);

  Log log(job.folder, state.step, {.steps = steps, .every = config.training.log_every, .quiet = job.quiet});
  if (job.resume)
    log.say(saved.empty() ? "no checkpoint yet: starting anew" : fmt::format("resumed from {}", saved.string()));
  Loader loader(job.data, loader_config(config, true), state.batches);
  const SignalGuard signals;
  model.train();

  bool begun = false;
  const auto begin = [&] {
    if (begun) return;
    std::filesystem::create_directories(job.folder);
    if (saved.empty()) remove_run(job.folder);
    set_aside_checkpoints(job.folder, saved_step);
    write_file(job.folder / "config.toml", to_toml(config));
    begun = true;
  };
  const auto save = [&] {
    const std::filesystem::path path = checkpoint_path(job.folder, state.step);
    save_checkpoint(path,
                    {.step = state.step,
                     .loader_position = state.batches,
                     .seed = config.training.seed,
                     .evaluated = state.evaluated,
                     .best = state.best,
                     .device = model.device().str(),
                     .config = to_toml(config),
                     .classes = job.classes,
                     .category_ids = job.category_ids},
                    model, &state.optimizer, state.ema ? &*state.ema : nullptr);
    saved = path;
    saved_step = state.step;
  };
  const auto evaluation_due = [&] {
    const i64 every = config.evaluation.every;
    const bool its_turn = state.step == steps || (every > 0 && state.step > 0 && state.step % every == 0);
    return job.evaluate && its_turn && state.evaluated != state.step;
  };
  const auto sync_and_save = [&] {
    log.sync();  // the log is never behind the checkpoint
    save();
    prune_checkpoints(job.folder, config.training.keep_checkpoints);
  };
  const auto once_in_a_while_save = [&] {
    if (state.step % config.training.checkpoint_every == 0 || evaluation_due()) sync_and_save();
  };
  const auto once_in_a_while_evaluate = [&] {
    if (!evaluation_due() || SignalGuard::received()) return;
    const auto start = std::chrono::steady_clock::now();
    const std::optional<Scores> scores = evaluate(model, job, state);
    if (!scores) return;  // stopped by a signal; a resumed run makes up for it
    begin();
    // The line in the log comes last: where it is missing, the evaluation is repeated.
    const double figure = merit(*scores, config.evaluation.metric);
    if (figure > state.best) link_file(saved, best_path(job.folder));
    log.evaluation(state.step, *scores, seconds_since(start));
    state.evaluated = state.step;
    state.best = std::max(state.best, figure);
  };
  std::optional<StepRecord> unlogged;  // of the last finished step, until it is given to the log
  // After an error: saves the last finished step and tells what is on the disk.
  const auto rescue = [&]() -> std::string {
    if (state.step == 0) return "";
    std::string failure;
    try {
      if (unlogged) log.step(*unlogged);
      log.sync();
    } catch (const std::exception&) {  // a line that cannot be written is no reason to lose a step
    }
    try {
      if (saved_step != state.step) {
        TESSERA_CHECK(!state.updating, "the update of the weights was cut off");
        save();
      }
    } catch (const std::exception& error) {
      failure = fmt::format("; step {} could not be saved: {}", state.step, error.what());
    }
    if (saved.empty()) return failure + "; there is no checkpoint";
    return fmt::format("{}; step {} is saved in {}, --resume continues", failure, saved_step, saved.string());
  };

  try {
    once_in_a_while_evaluate();  // the run before may have been stopped in one
    while (state.step < steps && !SignalGuard::received()) {
      buffers.keep();
      try {
        unlogged = train_step(model, job, state, loader);
      } catch (...) {
        buffers.put_back();
        throw;
      }
      begin();
      log.step(*std::exchange(unlogged, std::nullopt));
      once_in_a_while_save();
      once_in_a_while_evaluate();
    }
    if (saved_step != state.step) sync_and_save();
  } catch (const std::exception& error) {
    fail("{}{}", error.what(), rescue());
  }
  return SignalGuard::received();
}

bool holds_run(const std::filesystem::path& folder) {
  const std::filesystem::path log = folder / "log.jsonl";
  const bool logged = std::filesystem::exists(log) && std::filesystem::file_size(log) > 0;
  return logged || std::filesystem::exists(best_path(folder)) || !list_checkpoints(folder).empty();
}

void remove_run(const std::filesystem::path& folder) {
  for (const std::filesystem::path& path : list_checkpoints(folder)) std::filesystem::remove(path);
  std::filesystem::remove(best_path(folder));
  std::filesystem::remove(folder / "log.jsonl");
}

}  // namespace tessera
