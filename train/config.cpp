#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "eval/score.h"

namespace tessera {

namespace {

// What no option can say alone.
void check(const Config& config) {
  TESSERA_CHECK(config.input.longest >= config.input.shortest, "config: input.longest {} is below input.shortest {}",
                config.input.longest, config.input.shortest);
  (void)config.augment.config(config.input);
  TESSERA_CHECK(
      config.input.least().height % config.input.divisor == 0 && config.input.least().width % config.input.divisor == 0,
      "config: input.size {} x {} must be multiples of input.divisor {}", config.input.size[0], config.input.size[1],
      config.input.divisor);
  try {
    find_metric(config.evaluation.metric);
  } catch (const Error& error) {
    fail("config: evaluation.metric: {}", error.what());
  }
}

// Takes the model's name from the settings first, because it decides which other options there are.
void choose_model(const std::vector<Setting>& settings, ModelConfig& model) {
  for (const Setting& setting : settings) {
    if (setting.name != "model.name") continue;
    const std::string* name = std::get_if<std::string>(&setting.value.data);
    TESSERA_CHECK(name && model.choose(*name), "{}: model.name must be {}, got {}", setting.where, known_families(),
                  setting.value.toml());
  }
}

// What earlier versions called otherwise, and what to write now. Checkpoints are translated (train/resume.cpp).
void check_names(const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    const auto refuse = [&](const char* removed, const char* now) {
      TESSERA_CHECK(setting.name != removed, "{}: there is no option {} any more; write {}", setting.where, removed,
                    now);
    };
    refuse("optimizer.no_decay", "a table [[optimizer.groups]] with match = [\"norm\", ...] and weight_decay = 0");
    refuse("optimizer.backbone_lr", "a table [[optimizer.groups]] with match = [\"backbone.*\"] and lr_factor");
  }
}

}  // namespace

PixelStatistics InputConfig::statistics() const {
  PixelStatistics statistics;
  std::copy(mean.begin(), mean.end(), statistics.mean.begin());
  std::copy(std.begin(), std.end(), statistics.std.begin());
  return statistics;
}

AugmentConfig AugmentOptions::config(const InputConfig& input) const {
  AugmentConfig config = chain;
  config.resize = input.resize;
  TESSERA_CHECK(jitter_scale.empty() || jitter_scale.size() == 2,
                "config: augment.jitter_scale must be [min, max], or [] for none");
  const bool window = has_window(input.resize);
  TESSERA_CHECK(
      !window || chain.crop_probability == 0,
      "config: augment.crop_probability: input.resize = \"letterbox\" or \"stretch\" crops by augment.jitter_scale "
      "alone");
  if (window) config.scale_jitter = ScaleJitter{1, 1, input.window()};
  if (!jitter_scale.empty())
    config.scale_jitter = ScaleJitter{jitter_scale[0], jitter_scale[1],
                                      window ? input.window() : ImageSize{jitter_size[0], jitter_size[1]}};
  tessera::check(config);
  return config;
}

Config make_config(const std::vector<Setting>& settings, Config config) {
  check_names(settings);
  choose_model(settings, config.model);
  std::vector<Setting> kinds;
  std::copy_if(settings.begin(), settings.end(), std::back_inserter(kinds), [](const Setting& setting) {
    return setting.name.starts_with("model.") && setting.name.ends_with(".kind");
  });
  std::vector<Option> options = options_of(config);
  apply_settings(kinds, options);
  options = options_of(config);  // those of the kinds of backbone, neck and so on
  apply_settings(settings, options);
  const auto later = [&](std::string_view one, std::string_view other) {
    const auto last = std::find_if(settings.rbegin(), settings.rend(), [&](const Setting& setting) {
      return setting.name == one || setting.name == other;
    });
    return last != settings.rend() && last->name == one;
  };
  if (later("training.steps", "training.epochs")) config.training.epochs = 0;
  if (later("schedule.milestones", "schedule.milestone_epochs")) config.schedule.milestone_epochs.clear();
  if (later("schedule.warmup_steps", "schedule.warmup_epochs")) config.schedule.warmup_epochs = 0;
  check(config);
  return config;
}

Config read_config(const std::filesystem::path& config, const std::vector<std::string>& overrides) {
  std::vector<Setting> settings = read_settings(config);
  for (const std::string& text : overrides) settings.push_back(parse_override(text));
  return make_config(settings);
}

std::string to_toml(const Config& config) {
  Config copy = config;  // options refer to a struct that could be written to
  return to_toml(options_of(copy));
}

double steps_per_epoch(const TrainingConfig& training, double images) {
  return images / static_cast<double>(training.batch_size * training.accumulate);
}

void resolve_epochs(Config& config, double images) {
  const auto steps = [&](double epochs) {
    return std::max<i64>(1, std::llround(epochs * steps_per_epoch(config.training, images)));
  };
  ScheduleConfig& schedule = config.schedule;
  if (config.training.epochs > 0) config.training.steps = steps(config.training.epochs);
  if (schedule.warmup_epochs > 0) schedule.warmup_steps = steps(schedule.warmup_epochs);
  if (schedule.milestone_epochs.empty()) return;
  schedule.milestones.clear();
  std::ranges::transform(schedule.milestone_epochs, std::back_inserter(schedule.milestones), steps);
}

}  // namespace tessera
