#include "cli/loaded_model.h"

#include "data/resize.h"

namespace tessera {

Batch LoadedModel::batch_of(const Tensor& image) const {
  Sample sample;
  sample.original = {image.dim(0), image.dim(1)};
  sample.image =
      resize_bilinear(image, shortest_side_size(sample.original, config.input.shortest, config.input.longest));
  std::vector<Sample> samples;
  samples.push_back(std::move(sample));
  return make_batch(std::move(samples), config.input.statistics(), config.input.divisor);
}

LoadedModel load_model(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                       const std::filesystem::path& config_file) {
  const Checkpoint checkpoint = Checkpoint::open(find_checkpoint(path));
  LoadedModel loaded;
  loaded.info = checkpoint.info();
  std::vector<Setting> settings = config_file.empty()
                                      ? parse_settings(loaded.info.config, checkpoint.path().string(), {})
                                      : read_settings(config_file);
  for (const std::string& text : overrides) settings.push_back(parse_override(text));
  loaded.config = make_config(settings);
  loaded.config.model.num_classes() = static_cast<i64>(loaded.info.classes.size());
  loaded.model = make_model(loaded.config.model, loaded.config.training.seed);
  checkpoint.restore_weights(*loaded.model);
  loaded.model->eval();
  return loaded;
}

}  // namespace tessera
