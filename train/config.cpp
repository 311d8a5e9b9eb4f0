#include "train/config.h"

#include <algorithm>
#include <iterator>

#include "models/sparseinst/sparseinst.h"

namespace tessera {

namespace {

// What no option can say alone.
void check(const Config& config) {
  TESSERA_CHECK(config.input.longest >= config.input.shortest, "config: input.longest {} is below input.shortest {}",
                config.input.longest, config.input.shortest);
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

Config read_config(const std::filesystem::path& config, const std::vector<std::string>& overrides) {
  std::vector<Setting> settings = read_settings(config);
  for (const std::string& text : overrides) settings.push_back(parse_override(text));
  return make_config(settings);
}

std::string to_toml(const Config& config) {
  Config copy = config;  // options refer to a struct that could be written to
  return to_toml(options_of(copy));
}

std::unique_ptr<Segmenter> make_model(const ModelConfig& config, u64 seed) {
  return sparseinst::make_model(config.sparseinst, seed);
}

}  // namespace tessera
