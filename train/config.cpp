#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "models/sparseinst/sparseinst.h"

namespace tessera {

namespace {

void at_least(const char* name, i64 value, i64 least) {
  TESSERA_CHECK(value >= least, "config: {} is {}, at least {} is needed", name, value, least);
}

void within(const char* name, double value, double low, double high) {
  TESSERA_CHECK(value >= low && value <= high, "config: {} is {}, expected a number from {} to {}", name, value, low,
                high);
}

void check(const Config& config) {
  const TrainingConfig& training = config.training;
  at_least("training.steps", training.steps, 1);
  at_least("training.batch_size", training.batch_size, 1);
  at_least("training.accumulate", training.accumulate, 1);
  at_least("training.log_every", training.log_every, 1);
  at_least("training.checkpoint_every", training.checkpoint_every, 1);
  at_least("training.keep_checkpoints", training.keep_checkpoints, 1);
  TESSERA_CHECK(training.ema_decay >= 0 && training.ema_decay < 1, "config: training.ema_decay is {}, expected [0, 1)",
                training.ema_decay);
  at_least("evaluation.every", config.evaluation.every, 0);
  at_least("evaluation.batch_size", config.evaluation.batch_size, 1);
  at_least("data.workers", config.data.workers, 0);
  at_least("data.prefetch", config.data.prefetch, 1);
  at_least("input.shortest", config.input.shortest, 1);
  at_least("input.longest", config.input.longest, config.input.shortest);
  at_least("input.divisor", config.input.divisor, 1);
  for (const double value : config.input.std)
    TESSERA_CHECK(value > 0 && std::isfinite(value), "config: input.std has {}, positive numbers are needed", value);

  const OptimizerConfig& optimizer = config.optimizer;
  const double infinity = std::numeric_limits<double>::max();
  within("optimizer.lr", optimizer.lr, 0, infinity);
  within("optimizer.weight_decay", optimizer.weight_decay, 0, infinity);
  within("optimizer.backbone_lr", optimizer.backbone_lr, 0, infinity);
  within("optimizer.clip_norm", optimizer.clip_norm, 0, infinity);
  within("optimizer.beta1", optimizer.beta1, 0, 1 - 1e-12);
  within("optimizer.beta2", optimizer.beta2, 0, 1 - 1e-12);
  within("optimizer.eps", optimizer.eps, 0, infinity);
  within("optimizer.momentum", optimizer.momentum, 0, 1);

  const ScheduleConfig& schedule = config.schedule;
  at_least("schedule.warmup_steps", schedule.warmup_steps, 0);
  within("schedule.warmup_factor", schedule.warmup_factor, 0, 1);
  within("schedule.gamma", schedule.gamma, 0, 1);
  within("schedule.final_factor", schedule.final_factor, 0, 1);
  (void)config.augment.config();
}

// Takes the model's name from the settings first, because it decides which other options there are.
void choose_model(const std::vector<Setting>& settings, ModelConfig& model) {
  for (const Setting& setting : settings) {
    if (setting.name != "model.name") continue;
    const std::string* name = std::get_if<std::string>(&setting.value.data);
    TESSERA_CHECK(name && *name == "sparseinst", "{}: model.name must be \"sparseinst\", got {}", setting.where,
                  setting.value.toml());
    model.name = *name;
  }
}

}  // namespace

PixelStatistics InputConfig::statistics() const {
  PixelStatistics statistics;
  std::copy(mean.begin(), mean.end(), statistics.mean.begin());
  std::copy(std.begin(), std.end(), statistics.std.begin());
  return statistics;
}

AugmentConfig AugmentOptions::config() const {
  AugmentConfig config = chain;
  TESSERA_CHECK(jitter_scale.empty() || jitter_scale.size() == 2,
                "config: augment.jitter_scale must be [min, max], or [] for none");
  if (!jitter_scale.empty())
    config.scale_jitter = ScaleJitter{jitter_scale[0], jitter_scale[1], {jitter_size[0], jitter_size[1]}};
  tessera::check(config);
  return config;
}

Config make_config(const std::vector<Setting>& settings, Config config) {
  choose_model(settings, config.model);
  std::vector<Setting> kinds;
  std::copy_if(settings.begin(), settings.end(), std::back_inserter(kinds),
               [](const Setting& setting) { return setting.name == "model.backbone.kind"; });
  std::vector<Option> options = options_of(config);
  apply_settings(kinds, options);
  options = options_of(config);  // those of the backbone's kind
  apply_settings(settings, options);
  check(config);
  return config;
}

Config read_config(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  std::vector<Setting> settings = read_settings(path);
  for (const std::string& text : overrides) settings.push_back(parse_override(text));
  return make_config(settings);
}

std::string to_toml(const Config& config) {
  Config copy = config;  // options refer to a struct that could be written to
  return to_toml(options_of(copy));
}

std::unique_ptr<Segmenter> make_model(const ModelConfig& config, u64 seed) {
  return make_sparseinst(config.sparseinst, seed);
}

}  // namespace tessera
