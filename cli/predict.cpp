// tessera predict: pictures with masks, boxes, names and scores, and the results as COCO JSON.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "cli/activation_maps.h"
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/image_files.h"
#include "cli/inference.h"
#include "cli/loaded_model.h"
#include "cli/picture.h"
#include "cli/precision.h"
#include "data/draw.h"
#include "data/image.h"
#include "train/progress.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

struct PredictOptions {
  std::string checkpoint, config, out, annotations, device = "cpu";
  std::vector<std::string> images, overrides;
  double threshold = 0.4;
  i64 limit = 0;
  bool maps = false;
  nn::InferenceOptions inference;
};

// The annotated data set, and which of its images has a file's name.
struct Annotated {
  CocoDataset dataset;
  std::map<std::string, i64> position_of;

  explicit Annotated(const std::string& path) : dataset(load_coco(path)) {
    for (size_t i = 0; i < dataset.images.size(); ++i)
      position_of.emplace(fs::path(dataset.images[i].file_name).filename().string(), static_cast<i64>(i));
  }
  i64 position(const fs::path& file) const {
    const auto found = position_of.find(file.filename().string());
    TESSERA_CHECK(found != position_of.end(), "{}: {} has no image of this name", file.string(), dataset.name);
    return found->second;
  }
};

// The activation map of each drawn instance over the image, best first.
void save_maps(Segmenter& model, const Batch& batch, const Tensor& image, const std::vector<Instance>& instances,
               const fs::path& stem) {
  const ActivationMaps maps(model, batch, "predict --maps");
  for (size_t i = 0; i < instances.size(); ++i)
    save_png(fs::path(stem.string() + fmt::format("-map{:02}.png", i)),
             heat_map(image, maps.map(instances[i].query, {image.dim(0), image.dim(1)})));
}

void predict(const PredictOptions& options) {
  const std::vector<fs::path> files = image_files(options.images, options.limit);
  const LoadedModel loaded = load_model(options.checkpoint, options.overrides, options.config);
  loaded.model->to(chosen_device(options.device));
  nn::fuse_for_inference(*loaded.model, options.inference);
  std::optional<Annotated> annotated;
  if (!options.annotations.empty()) annotated.emplace(options.annotations);
  fs::create_directories(options.out);

  std::vector<Detection> results;
  Progress progress("predict", 0, static_cast<i64>(files.size()));
  for (size_t i = 0; i < files.size(); ++i) {
    const Tensor image = load_image(files[i]);
    const i64 position = annotated ? annotated->position(files[i]) : 0;
    const i64 id = annotated ? annotated->dataset.images[static_cast<size_t>(position)].id : static_cast<i64>(i) + 1;
    const Batch batch = loaded.batch_of(image);
    std::vector<Instance> instances = loaded.model->detect(batch).at(0);
    for (const Instance& instance : instances)
      results.push_back({id, loaded.info.category_ids.at(static_cast<size_t>(instance.class_index)), instance.score,
                         rle_bbox(instance.mask), instance.mask});
    std::stable_sort(instances.begin(), instances.end(),
                     [](const Instance& a, const Instance& b) { return a.score > b.score; });
    std::erase_if(instances, [&](const Instance& instance) { return instance.score < options.threshold; });
    const fs::path stem = fs::path(options.out) / files[i].stem();
    save_png(stem.string() + ".png",
             annotated ? draw_annotated_and_found(image, annotated->dataset, position, instances, loaded.info.classes)
                       : draw_instances(image, instances, loaded.info.classes, Label::kNameAndScore));
    if (options.maps) save_maps(*loaded.model, batch, image, instances, stem);
    progress.update(static_cast<i64>(i) + 1, files[i].filename().string());
  }
  progress.clear();
  save_results(fs::path(options.out) / "results.json", results);
  fmt::print("{} pictures and results.json ({} objects) in {}\n", files.size(), results.size(), options.out);
}

}  // namespace

void add_predict(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command = app.add_subcommand("predict", "Finds objects in images: pictures with masks, and COCO results");
  command
      ->add_option(
          "--checkpoint", options->checkpoint,
          "checkpoint file, or the folder of a run (its best checkpoint); with --config also weights of PyTorch")
      ->required();
  command->add_option("--config", options->config, "configuration in place of the stored one");
  command
      ->add_option("--out", options->out,
                   "folder for the pictures and results.json (image ids count the images from 1)")
      ->required();
  command->add_option("images", options->images, "image files, or folders of them")->required();
  command->add_option("--threshold", options->threshold, "draw objects of at least this score; results.json holds all")
      ->capture_default_str();
  command->add_option("--limit", options->limit, "stop after this many images; 0: all")->capture_default_str();
  command->add_option("--set", options->overrides, "a.b=value: change an option of the stored configuration")
      ->allow_extra_args(false);
  command->add_option("--annotations", options->annotations,
                      "COCO annotation file of the images: draws what is annotated beside what is found, and "
                      "results.json has its image ids");
  add_inference(*command, options->inference);
  command->add_flag("--maps", options->maps, "also save the instance activation maps as pictures");
  add_device(*command, options->device);
  add_precision(*command);
  command->callback([options] { predict(*options); });
}

}  // namespace tessera
