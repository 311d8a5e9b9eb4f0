#include "train/loaded_model.h"

#include "data/panoptic.h"
#include "train/resume.h"
#include "train/sources.h"
#include "train/weights.h"

namespace tessera {

std::vector<Instance> LoadedModel::detect(const Tensor& image) const {
  return model->detect(inference_batch(image, config)).at(0);
}

LoadedModel load(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                 const std::filesystem::path& config_file, const std::string& annotations) {
  const WeightsFile file = read_weights_file(find_checkpoint(path));
  if (!is_checkpoint(file)) {
    TESSERA_CHECK(!config_file.empty(), "{}: is no checkpoint of tessera; weights of another tool need --config",
                  file.path.string());
    LoadedModel loaded = untrained_model(overrides, config_file, annotations);
    load_weights(*loaded.model, file, nn::Strictness::kExact);
    return loaded;
  }
  const Checkpoint checkpoint = Checkpoint::open(file.path);
  LoadedModel loaded;
  loaded.info = checkpoint.info();
  std::vector<Setting> settings = config_file.empty() ? stored_settings(checkpoint) : read_settings(config_file);
  for (const std::string& text : overrides) settings.push_back(parse_override(text));
  loaded.config = make_config(settings);
  loaded.config.model.set_classes(std::ssize(loaded.info.classes), loaded.config.model.things());
  loaded.model = make_model(loaded.config.model, loaded.config.training.seed);
  checkpoint.restore_weights(*loaded.model);
  loaded.model->eval();
  return loaded;
}

LoadedModel untrained_model(const std::vector<std::string>& overrides, const std::filesystem::path& config_file,
                            const std::string& annotations) {
  LoadedModel loaded;
  loaded.config = read_config(config_file, overrides);
  const i64 classes = loaded.config.model.num_classes();
  const std::string& names = annotations.empty() ? loaded.config.data.val_annotations : annotations;
  if (names.empty()) {
    for (i64 i = 1; i <= classes; ++i) {
      loaded.info.classes.push_back(fmt::format("class {}", i));
      loaded.info.category_ids.push_back(i);
    }
  } else {
    const std::shared_ptr<const CocoDataset> data_set = load_data_set(names, "data.val_annotations");
    for (const CocoCategory& category : data_set->categories) {
      loaded.info.classes.push_back(category.name);
      loaded.info.category_ids.push_back(category.id);
    }
    TESSERA_CHECK(static_cast<i64>(loaded.info.classes.size()) == classes,
                  "{}: {} categories, but model.num_classes is {}", names, loaded.info.classes.size(), classes);
    loaded.config.model.set_classes(classes, count_things(*data_set));
  }
  loaded.info.config = to_toml(loaded.config);
  loaded.model = make_model(loaded.config.model, loaded.config.training.seed);
  loaded.model->eval();
  return loaded;
}

}  // namespace tessera
