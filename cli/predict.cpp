// tessera predict: pictures with masks, boxes, names and scores, and the results as COCO JSON.
#include "cli/predict.h"

#include <simdjson.h>

#include <algorithm>
#include <memory>

#include "cli/activation_maps.h"
#include "cli/cityscapes_output.h"
#include "cli/commands.h"
#include "cli/image_files.h"
#include "cli/image_names.h"
#include "cli/mask_stages.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/picture.h"
#include "data/cityscapes.h"
#include "data/draw.h"
#include "data/image.h"
#include "data/panoptic.h"
#include "train/evaluate.h"
#include "train/progress.h"
#include "train/signals.h"
#include "train/sources.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

class Prediction {
 public:
  // Everything that can be wrong with the call is found here.
  Prediction(const LoadedModel& model, const PredictOptions& options)
      : model_(model),
        options_(options),
        files_(options.images),
        below_(below_common_folder(files_)),
        annotated_(!options.annotations.empty()),
        panoptic_(model.model->finds_segments()),
        names_(distinct_names(below_)) {
    if (annotated_) {
      const bool streets = fs::is_directory(options_.annotations);
      truth_ = streets ? load_cityscapes(options_.annotations) : load_image_list(options_.annotations);
      if (streets && !panoptic_) {
        TESSERA_CHECK(model.model->has_masks(), "predict: the results of Cityscapes are masks, and the model has none");
        cityscapes_.emplace(out_ / "cityscapes", model.info.classes);
      }
      positions_ = match_images(truth_, files_);
    } else {
      for (const fs::path& path : below_)
        TESSERA_CHECK(simdjson::validate_utf8(path.string()),
                      "{}: the name is not UTF-8, and images.json could not hold it; rename the file", path.string());
    }
    check_paths();
  }

  int run() {
    const SignalGuard signals;
    FailedImages failed;
    const i64 total = static_cast<i64>(files_.size());
    Progress progress("predict", 0, total);
    i64 done = 0;
    for (; done < total && !SignalGuard::received(); ++done) {
      const size_t i = static_cast<size_t>(done);
      try {
        predict(i);
      } catch (const std::exception& error) {
        progress.clear();
        failed.add(files_[i], error);
      }
      progress.update(done + 1, files_[i].filename().string());
    }
    progress.clear();
    // Where nothing could be read there is nothing to replace the results of an earlier call with.
    if (!found_.images.empty()) save(done - failed.count());
    if (SignalGuard::received()) {
      fmt::print(stderr, "tessera: predict: stopped after {} of {} images\n", done, total);
      return SignalGuard::received();
    }
    failed.check(total);
    return 0;
  }

 private:
  fs::path result_file() const { return out_ / (panoptic_ ? "panoptic.json" : "results.json"); }
  fs::path picture(size_t i) const { return out_ / (names_[i] + ".png"); }
  fs::path map_picture(size_t i, i64 map) const { return out_ / fmt::format("{}-map{:02}.png", names_[i], map); }
  fs::path stages_picture(size_t i, i64 k) const { return out_ / fmt::format("{}-stages{:02}.png", names_[i], k); }

  void check_paths() const {
    TESSERA_CHECK(!fs::exists(out_) || fs::is_directory(out_), "{}: is a file, --out is a folder", out_.string());
    std::vector<fs::path> outputs = {result_file()}, inputs = files_;
    if (!annotated_ && !panoptic_) outputs.push_back(out_ / "images.json");
    if (options_.maps) check_activation_maps(*model_.model, "predict --maps");
    if (options_.stages) check_mask_stages(*model_.model, "predict --stages");
    const i64 maps = options_.maps ? model_.model->activation_map_count() : 0;
    const std::optional<Segmenter::Limit> limit = model_.model->object_limit();
    const i64 staged = options_.stages && limit ? limit->objects : 0;
    for (size_t i = 0; i < files_.size(); ++i) {
      outputs.push_back(picture(i));
      if (panoptic_) outputs.push_back(segments_.folder / (names_[i] + ".png"));
      for (i64 map = 0; map < maps; ++map) outputs.push_back(map_picture(i, map));
      for (i64 k = 0; k < staged; ++k) outputs.push_back(stages_picture(i, k));
    }
    inputs.insert(inputs.end(), options_.inputs.begin(), options_.inputs.end());
    inputs.push_back(options_.annotations);
    check_outputs(outputs, inputs);
  }

  void predict(size_t i) {
    const Tensor image = load_image(files_[i]);
    const ImageSize size{image.dim(0), image.dim(1)};
    if (annotated_) check_picture_size(files_[i], size, truth_, positions_[i]);
    const Batch batch = inference_batch(image, model_.config);
    std::vector<Instance> instances = model_.model->detect(batch).at(0);
    if (cityscapes_) cityscapes_->write(entry(i, size), instances);
    // A model may give objects below its own threshold and empty masks, as the evaluation of its reference wants it.
    // Neither is an object to a user.
    const double least = model_.model->score_threshold();
    std::erase_if(instances, [&](const Instance& instance) {
      return instance.score <= least || (instance.has_mask() && rle_area(instance.mask) == 0);
    });
    if (panoptic_)
      report_segments(i, size, instances);
    else
      report(i, size, instances);

    std::stable_sort(instances.begin(), instances.end(),
                     [](const Instance& a, const Instance& b) { return a.score > b.score; });
    std::erase_if(instances, [&](const Instance& instance) { return instance.score < options_.threshold; });
    const std::vector<std::string>& classes = model_.info.classes;
    write_output(picture(i),
                 encode_png(truth_.annotations.empty()
                                ? draw_instances(image, instances, classes, Label::kNameAndScore)
                                : draw_annotated_and_found(image, truth_, positions_[i], instances, classes)));
    if (options_.stages) draw_stages(i, image, batch, instances);
    if (!options_.maps) return;
    const ActivationMaps maps(*model_.model, batch);
    for (size_t k = 0; k < instances.size(); ++k)
      write_output(map_picture(i, static_cast<i64>(k)),
                   encode_png(heat_map(image, maps.map(instances[k].query, size))));
  }

  void draw_stages(size_t i, const Tensor& image, const Batch& batch, const std::vector<Instance>& instances) {
    const MaskStages stages(*model_.model, batch);
    cells_.resize(stages.cells().size());
    for (size_t s = 0; s < cells_.size(); ++s) cells_[s] += stages.cells()[s];
    for (size_t k = 0; k < instances.size(); ++k)
      write_output(stages_picture(i, static_cast<i64>(k)), encode_png(stages.picture(image, instances[k].query)));
  }

  CocoImage entry(size_t i, ImageSize size) const {
    if (annotated_) return truth_.images[static_cast<size_t>(positions_[i])];
    return {static_cast<i64>(i) + 1, below_[i].string(), size.height, size.width};
  }

  // Into the results, before anything of this image is written: a picture that cannot be does not take them along.
  void report(size_t i, ImageSize size, const std::vector<Instance>& instances) {
    found_.images.push_back(entry(i, size));
    if (cityscapes_) return;
    for (const Instance& instance : instances)
      results_.push_back(to_detection(instance, found_.images.back().id, model_.info.category_ids));
  }

  // The same of segments, whose masks are a file each.
  void report_segments(size_t i, ImageSize size, const std::vector<Instance>& segments) {
    if (found_.images.empty()) fs::remove(result_file());  // PNGs of this call are not under the entries of another
    PanopticPicture picture{.image_id = entry(i, size).id, .png = names_[i] + ".png"};
    std::vector<Rle> masks;
    for (const Instance& segment : segments) {
      masks.push_back(segment.mask);
      picture.segments.push_back({.id = std::ssize(masks),
                                  .category_id = model_.info.category_ids[static_cast<size_t>(segment.class_index)],
                                  .area = static_cast<double>(rle_area(segment.mask)),
                                  .bbox = segment.box});
    }
    fs::create_directories(segments_.png_of(picture).parent_path());
    save_segments(segments_.png_of(picture), size, masks);
    found_.images.push_back(entry(i, size));
    found_segments_ += std::ssize(masks);
    segments_.pictures.push_back(std::move(picture));
  }

  void save(i64 pictures) {
    for (size_t k = 0; k < model_.info.classes.size(); ++k)
      found_.categories.push_back({.id = model_.info.category_ids[k],
                                   .name = model_.info.classes[k],
                                   .isthing = static_cast<i64>(k) < model_.config.model.things()});
    fs::create_directories(out_);
    if (panoptic_) {
      segments_.images = found_.images;
      segments_.categories = found_.categories;
      save_panoptic(segments_);
      fmt::print("{} pictures and panoptic.json ({} segments) in {}\n", pictures, found_segments_, options_.out);
    } else if (cityscapes_) {
      fmt::print("{} pictures and {} in {}\n", pictures, cityscapes_->summary(), options_.out);
    } else {
      if (!annotated_) save_coco(out_ / "images.json", found_);
      save_results(result_file(), results_);
      fmt::print("{} pictures and results.json ({} objects) in {}\n", pictures, results_.size(), options_.out);
    }
    for (const MaskStages::Cells& cells : cells_)
      fmt::print("{}{} x {} cells: {:.1f} % active", &cells == cells_.data() ? "" : ", ", cells.size, cells.size,
                 100 * cells.share());
    if (!cells_.empty()) fmt::print(" (of all boxes)\n");
  }

  const LoadedModel& model_;
  const PredictOptions& options_;
  const fs::path out_ = options_.out;
  const std::vector<fs::path> files_, below_;  // as given, and below the folder that holds all of them
  const bool annotated_, panoptic_;
  const std::vector<std::string> names_;  // of the pictures to write
  CocoDataset truth_;                     // of --annotations
  std::vector<i64> positions_;            // of each file in it
  CocoDataset found_;                     // the images that were read
  std::vector<Detection> results_;
  std::optional<CityscapesOutput> cityscapes_;  // in the place of these
  std::vector<MaskStages::Cells> cells_;        // of --stages, of all pictures
  PanopticFile segments_{.name = result_file().string(), .folder = panoptic_folder(result_file())};  // panoptic_
  i64 found_segments_ = 0;
};

struct PredictCommand {
  ModelOptions model;
  std::vector<std::string> images;
  i64 limit = 0;
  nn::InferenceOptions inference;
  PredictOptions options;

  void run() {
    options.images = image_files(images, limit);  // before a model is loaded
    options.inputs = model.files();
    const LoadedModel loaded = model.load();
    nn::fuse_for_inference(*loaded.model, inference);
    if (const int signal = predict(loaded, options)) throw CLI::RuntimeError(128 + signal);
  }
};

}  // namespace

int predict(const LoadedModel& model, const PredictOptions& options) {
  return Prediction(model, options).run();
}

void add_predict(CLI::App& app) {
  const auto predict = std::make_shared<PredictCommand>();
  PredictOptions* options = &predict->options;
  CLI::App* command = app.add_subcommand("predict", "Finds objects in images: pictures with masks, and COCO results");
  predict->model.add(*command);
  command
      ->add_option("--out", options->out,
                   "folder for the pictures, results.json, and images.json, which tells whose image ids these are; of "
                   "a network that finds segments panoptic.json and its folder of PNGs; of Cityscapes cityscapes/, its "
                   "text files and masks; no image is overwritten")
      ->required();
  command->add_option("images", predict->images, "image files, or folders of them")->required();
  command
      ->add_option("--threshold", options->threshold,
                   "draw objects of at least this score; results.json holds all above inference.score_threshold")
      ->capture_default_str();
  command->add_option("--limit", predict->limit, "stop after this many images; 0: all")->capture_default_str();
  command->add_option(
      "--annotations", options->annotations,
      "COCO annotation file, of segments too, image list, or folder of Cityscapes (gtFine/val), of the images, matched "
      "by the longest ends of their paths: results have its image ids, and what is annotated is drawn beside what is "
      "found");
  add_inference(*command, predict->inference);
  command->add_flag("--maps", options->maps, "also save the instance activation maps as pictures");
  command->add_flag("--stages", options->stages,
                    "also save how each mask was refined, a tile per stage, with the cells that it computed, and tell "
                    "their share (EffSeg)");
  command->callback([predict] { predict->run(); });
}

}  // namespace tessera
