#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "autograd/norm.h"
#include "eval/score.h"
#include "tensor/device_runtime.h"
#include "tensor/file.h"
#include "train/buffers.h"
#include "train/compare_ranks.h"
#include "train/evaluate.h"
#include "train/resume.h"
#include "train/signals.h"
#include "train/sources.h"
#include "train/step.h"

namespace tessera {

namespace {

// The scores of the model, or of its averaged weights where there are any.
std::optional<Scores> evaluate(Segmenter& model, const Job& job, TrainingState& state) {
  const NoGrad no_grad;
  const AveragedWeights averaged(state.ema ? &*state.ema : nullptr);
  model.eval();
  std::optional<Scores> scores = job.evaluate(model);
  model.train();
  return scores;
}

void restore(Segmenter& model, const Job& job, TrainingState& state, const Checkpoint& checkpoint) {
  const CheckpointInfo info = info_with_evaluation(checkpoint, job.folder);
  TESSERA_CHECK(info.classes == job.classes && info.category_ids == job.category_ids,
                "{}: was trained on other classes than those of the training data", checkpoint.path().string());
  const std::vector<OptionChange> changes = changes_on_resume(checkpoint, job.config);
  checkpoint.restore(model, state.optimizer, state.ema ? &*state.ema : nullptr);
  state.step = info.step;
  state.batches = info.loader_position;
  state.evaluated = info.evaluated;
  const bool comparable = std::none_of(changes.begin(), changes.end(), [](const auto& c) { return c.new_figures; });
  if (!comparable) return;
  state.best = info.best;
  state.no_better = info.no_better;
}

void check(Segmenter& model, const Job& job) {
  const Config& config = job.config;
  TESSERA_CHECK(!config.training.mixed_precision || model.device().kind != DeviceKind::kCpu,
                "training.mixed_precision: the CPU has no kernels for bf16 activations; train on a device (--device "
                "cuda), or set training.precision = \"medium\" for bf16 products");
  if (config.training.graph) {
    check_can_capture(model.device());
    TESSERA_CHECK(
        config.training.accumulate == 1,
        "training.graph: gradients of several passes are not added up in a graph; set training.accumulate = 1");
    // Each process sees for itself which sizes come again, and one that records a pass computes it twice.
    TESSERA_CHECK(job.communicator->size() == 1 || !config.training.sync_batch_norm,
                  "training.graph: the statistics of the whole batch, which several processes add up within a pass, "
                  "cannot be a part of a graph; set training.sync_batch_norm = false");
  }
  TESSERA_CHECK(!job.evaluate || model.has_masks() || !find_metric(config.evaluation.metric).compares_masks(),
                "evaluation.metric = \"{}\" compares masks, and the network has none: name a metric of boxes, \"bbox\"",
                config.evaluation.metric);
  if (job.evaluate) check_segments(model, find_metric(config.evaluation.metric));
}

// A run from its beginning, or from where it was left, to its end.
class Run {
 public:
  Run(Segmenter& model, const Job& job)
      : model_(model),
        job_(job),
        config_(job.config),
        state_{.optimizer = Optimizer(config_.optimizer, model), .ema = {}, .passes = Passes(config_.training.graph)},
        communicator_(*job.communicator),
        saved_(resume()),
        saved_step_(state_.step),
        buffers_(model),
        sums_(communicator_, model) {
    if (!communicator_.first()) return;
    log_.emplace(job.folder, state_.step,
                 Log::Options{.steps = config_.training.steps,
                              .every = config_.training.log_every,
                              .quiet = job.quiet,
                              .tensorboard = config_.training.tensorboard});
    if (job.resume)
      log_->say(saved_.empty() ? "no checkpoint yet: starting anew" : fmt::format("resumed from {}", saved_.string()));
  }

  // Gives the signal that stopped any of the processes, 0: none did.
  int steps() {
    check_same(communicator_, "step to go on from", std::to_string(state_.step));
    compare();
    if (sharded()) state_.optimizer.shard(communicator_);
    std::optional<WholeBatch> whole_batch;
    if (communicator_.size() > 1 && config_.training.sync_batch_norm)
      whole_batch.emplace([&](const Tensor& sums) { communicator_.sum(sums); });
    const double pictures = job_.data->drawn_per_epoch();
    Loader loader(job_.data, loader_config(config_, true, model_.device(), communicator_), state_.batches);
    model_.train();
    try {
      once_in_a_while_evaluate();  // the run before may have been stopped in one
      while (state_.step < config_.training.steps && !out_of_patience() && !stopped()) {
        buffers_.keep();
        const i64 before = state_.step;
        try {
          unlogged_ = train_step(model_, buffers_, config_, pictures, state_, loader, communicator_, sums_);
        } catch (...) {
          if (state_.step == before) buffers_.put_back();  // else the update counts, and another process was lost
          throw;
        }
        begin();
        if (log_) log_->step(*std::exchange(unlogged_, std::nullopt));
        if (state_.step % config_.training.compare_every == 0) compare();
        once_in_a_while_save();
        once_in_a_while_evaluate();
      }
      if (saved_step_ != state_.step) sync_and_save();
      stopped();
      return signal_;
    } catch (const std::exception& error) {
      fail("{}{}", error.what(), communicator_.first() ? rescue() : "");
    }
  }

 private:
  // Did a signal ask any of the processes to end?
  bool stopped() {
    const double mine = SignalGuard::received();
    for (const std::vector<double>& of_rank : communicator_.gather({&mine, 1}))
      signal_ = std::max(signal_, static_cast<int>(of_rank[0]));
    return signal_ != 0;
  }

  bool sharded() const { return config_.optimizer.sharded && communicator_.size() > 1; }

  // All processes must have the same weights and states.
  void compare() {
    if (communicator_.size() == 1) return;
    std::vector<NamedTensor> tensors = nn::state_dict(model_);
    if (!begun_ || !sharded()) std::ranges::copy(state_.optimizer.state(), std::back_inserter(tensors));
    if (state_.ema)
      for (const auto& [name, tensor] : state_.ema->state()) tensors.push_back({"average." + name, tensor});
    check_same(communicator_, tensors);
  }

  // The checkpoint that the run continues from; empty: there is none.
  std::filesystem::path resume() {
    if (config_.training.ema_decay > 0) state_.ema.emplace(model_, config_.training.ema_decay);
    const std::optional<Checkpoint> last = job_.resume ? last_checkpoint(job_.folder) : std::nullopt;
    if (!last) return {};
    restore(model_, job_, state_, *last);
    return last->path();
  }

  void begin() {
    if (std::exchange(begun_, true) || !communicator_.first()) return;
    std::filesystem::create_directories(job_.folder);
    if (saved_.empty()) remove_run(job_.folder);
    set_aside_checkpoints(job_.folder, saved_step_);
    write_file(job_.folder / "config.toml", to_toml(config_));
  }

  void save() {
    const std::filesystem::path path = checkpoint_path(job_.folder, state_.step);
    save_checkpoint(path,
                    {.step = state_.step,
                     .loader_position = state_.batches,
                     .seed = config_.training.seed,
                     .evaluated = state_.evaluated,
                     .best = state_.best,
                     .no_better = state_.no_better,
                     .device = model_.device().str(),
                     .config = to_toml(config_),
                     .classes = job_.classes,
                     .category_ids = job_.category_ids},
                    model_, &state_.optimizer, state_.ema ? &*state_.ema : nullptr);
    saved_ = path;
    saved_step_ = state_.step;
  }
  void sync_and_save() {
    state_.optimizer.collect();
    if (!communicator_.first()) {
      saved_step_ = state_.step;
      return;
    }
    log_->sync();  // the log is never behind the checkpoint
    save();
    state_.optimizer.drop_others();
    prune_checkpoints(job_.folder, config_.training.keep_checkpoints);
  }
  void once_in_a_while_save() {
    if (state_.step % config_.training.checkpoint_every == 0 || evaluation_due()) sync_and_save();
  }

  bool evaluation_due() const {
    const i64 every = config_.evaluation.every, step = state_.step;
    const bool its_turn = step == config_.training.steps || (every > 0 && step > 0 && step % every == 0);
    return job_.evaluate && its_turn && state_.evaluated != step;
  }
  // Ends the run early, and also one that is resumed behind that.
  bool out_of_patience() {
    const i64 patience = config_.evaluation.patience;
    if (patience == 0 || state_.no_better < patience) return false;
    if (log_)
      log_->say(fmt::format("step {}: {} evaluations have not raised {:.4f}: the run ends (evaluation.patience)",
                            state_.step, state_.no_better, state_.best));
    return true;
  }

  void once_in_a_while_evaluate() {
    if (!evaluation_due() || stopped()) return;
    evaluate_now();
    // The first process alone knows.
    const double count = static_cast<double>(state_.no_better);
    state_.no_better = static_cast<i64>(communicator_.gather({&count, 1})[0][0]);
  }
  void evaluate_now() {
    const auto start = std::chrono::steady_clock::now();
    const std::optional<Scores> scores = evaluate(model_, job_, state_);
    if (!scores) return;  // stopped by a signal; a resumed run makes up for it
    if (!communicator_.first()) {
      state_.evaluated = state_.step;
      return;
    }
    begin();
    // The line in the log comes last: where it is missing, the evaluation is repeated.
    const std::optional<double> figure = merit(*scores, config_.evaluation.metric);
    TESSERA_CHECK(figure, "evaluation: there are no figures for {}", config_.evaluation.metric);
    if (*figure > state_.best) link_file(saved_, best_path(job_.folder));
    log_->evaluation(state_.step, *scores,
                     std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    state_.evaluated = state_.step;
    state_.no_better = *figure > state_.best ? 0 : state_.no_better + 1;
    state_.best = std::max(state_.best, *figure);
  }

  // After an error: saves the last finished step and tells what is on the disk.
  std::string rescue() {
    if (state_.step == 0) return "";
    std::string failure;
    try {
      if (unlogged_) log_->step(*unlogged_);
      log_->sync();
    } catch (const std::exception&) {  // a line that cannot be written is no reason to lose a step
    }
    try {
      if (saved_step_ != state_.step) {
        TESSERA_CHECK(!state_.updating, "the update of the weights was cut off");
        TESSERA_CHECK(!sharded(), "the other processes have a part of its moments");
        save();
      }
    } catch (const std::exception& error) {
      failure = fmt::format("; step {} could not be saved: {}", state_.step, error.what());
    }
    if (saved_.empty()) return failure + "; there is no checkpoint";
    return fmt::format("{}; step {} is saved in {}, --resume continues", failure, saved_step_, saved_.string());
  }

  Segmenter& model_;
  const Job& job_;
  const Config& config_;
  TrainingState state_;
  Communicator& communicator_;
  std::filesystem::path saved_;  // the checkpoint of step saved_step_; empty: there is none
  i64 saved_step_;
  Buffers buffers_;
  GradientSums sums_;
  std::optional<Log> log_;              // the first process's
  int signal_ = 0;                      // that asked any of them to end
  bool begun_ = false;                  // is the folder this run's?
  std::optional<StepRecord> unlogged_;  // of the last finished step, until it is given to the log
};

}  // namespace

int train(Segmenter& model, const Job& given) {
  Job job = given;
  resolve_epochs(job.config, job.data->drawn_per_epoch());
  const TrainingConfig& training = job.config.training;
  check(model, job);
  const ArithmeticScope arithmetic(
      {.precision = training.precision, .winograd = training.winograd, .tune = training.tune});
  model.training_dtype = training.mixed_precision ? DType::kBF16 : DType::kF32;
  const SignalGuard signals;
  const int heard = Run(model, job).steps();
  return std::max(heard, SignalGuard::received());  // that one came at the very end
}

bool holds_run(const std::filesystem::path& folder) {
  const std::filesystem::path log = folder / "log.jsonl";
  const bool logged = std::filesystem::exists(log) && std::filesystem::file_size(log) > 0;
  return logged || std::filesystem::exists(best_path(folder)) || !list_checkpoints(folder).empty();
}

void remove_run(const std::filesystem::path& folder) {
  for (const std::filesystem::path& path : list_checkpoints(folder)) std::filesystem::remove(path);
  for (const std::filesystem::path& path : event_files(folder)) std::filesystem::remove(path);
  std::filesystem::remove(best_path(folder));
  std::filesystem::remove(folder / "log.jsonl");
}

}  // namespace tessera
