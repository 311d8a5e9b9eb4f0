// tessera eval: the figures of a checkpoint.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "train/evaluate.h"
#include "train/preflight.h"

namespace tessera {

namespace {

struct EvalCommand {
  ModelOptions model;
  std::string annotations, images, json;
  nn::InferenceOptions inference;

  void run(Communicator& communicator) const {
    LoadedModel loaded = model.load(annotations, communicator);
    loaded.config.evaluation.loss = false;  // a fused model has none
    nn::fuse_for_inference(*loaded.model, inference);
    const DataConfig& data = loaded.config.data;
    const std::string annotation_file = annotations.empty() ? data.val_annotations : annotations;
    TESSERA_CHECK(!annotation_file.empty(),
                  "eval: the configuration has no data.val_annotations; give --annotations and --images");
    const auto dataset = load_data_set(annotation_file, "data.val_annotations");
    check_classes(loaded.info, *dataset);
    const std::filesystem::path folder = images.empty() ? data.val_images : images;
    std::vector<std::filesystem::path> inputs = model.files();
    inputs.push_back(annotation_file);
    for (const CocoImage& image : dataset->images) inputs.push_back(folder / image.file_name);
    check_outputs({json}, inputs);
    const auto source = inference_source(dataset, folder, loaded.config);
    check_pictures(*source, images.empty() ? "data.val_images" : "--images");
    if (communicator.first()) print_warnings(missing_figures(*dataset, loaded.config.evaluation.metric));
    const std::optional<Evaluation> result =
        evaluate(*loaded.model, loaded.info.category_ids, *dataset, source, loaded.config, false, communicator);
    if (!communicator.first()) return;
    nlohmann::ordered_json figures;
    for (const auto& [metric, score] : result->scores) {
      fmt::print("{}", score.text);
      figures.update(nlohmann::ordered_json::parse(score.json));
    }
    fmt::print("{} images in {:.1f} s\n", source->size(), result->seconds);
    if (!json.empty()) write_output(json, figures.dump(1) + "\n");
  }

  // The categories that model and data set share must mean the same.
  static void check_classes(const CheckpointInfo& info, const CocoDataset& dataset) {
    bool any = false;
    for (size_t i = 0; i < info.classes.size(); ++i) {
      const auto found = dataset.class_index.find(info.category_ids[i]);
      if (found == dataset.class_index.end()) continue;
      const std::string& name = dataset.categories[static_cast<size_t>(found->second)].name;
      TESSERA_CHECK(name == info.classes[i], "eval: category {} is \"{}\" in {}, but the model learned it as \"{}\"",
                    info.category_ids[i], name, dataset.name, info.classes[i]);
      any = true;
    }
    TESSERA_CHECK(any, "eval: {} has none of the model's {} categories", dataset.name, info.classes.size());
  }
};

}  // namespace

void add_eval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Tells the figures of a checkpoint");
  const auto command = std::make_shared<EvalCommand>();
  command->model.add(*eval);
  eval->add_option_function<std::string>(
      "--metric",
      [command](const std::string& name) { command->model.overrides.push_back("evaluation.metric=\"" + name + "\""); },
      "one of tessera score (without --metric segm, COCO's AP of masks and boxes)");
  CLI::Option* annotations =
      eval->add_option("--annotations", command->annotations,
                       "annotation file, or folder of Cityscapes, in place of the configured one");
  CLI::Option* images = eval->add_option("--images", command->images, "folder of its images");
  annotations->needs(images);
  images->needs(annotations);
  add_inference(*eval, command->inference);
  eval->add_option("--json", command->json, "file for the figures, as JSON");
  eval->callback([command] { on_processes([&](Communicator& communicator) { command->run(communicator); }); });
}

}  // namespace tessera
