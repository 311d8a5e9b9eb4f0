// Networks of every kind train, evaluate and predict through models/segmenter.h alone.
#include "tests/cli/imaginary_models.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "cli/image_files.h"
#include "cli/predict.h"
#include "data/image.h"
#include "data/shapes.h"
#include "eval/cityscapes_eval.h"
#include "tensor/file.h"
#include "tests/data/test_images.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "train/evaluate.h"
#include "train/trainer.h"

namespace tessera {

using test::ImaginaryDetector, test::ImaginaryGrid;

namespace {

namespace fs = std::filesystem;

struct Shapes {
  test::TemporaryFolder folder;
  std::shared_ptr<const CocoDataset> train, val;
  Config config;
  CheckpointInfo info;

  Shapes() {
    generate_shapes({.dir = folder.path(), .train = 4, .val = 3, .size = 64});
    train = std::make_shared<const CocoDataset>(load_coco(folder / "instances_train.json"));
    val = std::make_shared<const CocoDataset>(load_coco(folder / "instances_val.json"));
    config.input.shortest = 48;
    config.input.longest = 64;
    config.augment.chain.shortest = {48};
    config.augment.chain.longest = 64;
    config.optimizer.lr = 1e-3;
    config.training.steps = 3;
    config.training.batch_size = config.training.accumulate = 2;
    for (const CocoCategory& category : train->categories) {
      info.classes.push_back(category.name);
      info.category_ids.push_back(category.id);
    }
  }

  Evaluation evaluation(Segmenter& model) const {
    const auto source = inference_source(val, folder / "val", config);
    return evaluate(model, info.category_ids, *val, source, config, true).value();
  }

  // The COCO AP of every task that it is judged by.
  Scores coco(Segmenter& model) const {
    Scores scores;
    for (const auto& [metric, score] : evaluation(model).scores)
      scores.push_back({metric->short_name(), {{"AP", score.ap.value().stats[0]}}});
    return scores;
  }

  // The AP of Cityscapes; the classes are person, rider and car.
  Scores cityscapes(Segmenter& model) const {
    const fs::path truth = folder / "gtFine", results = folder / "results";
    const auto name = [](i64 image_id) { return fmt::format("town_{:06}_000019", image_id); };
    fs::remove_all(results);
    for (const fs::path& made : {truth, results / "masks"}) fs::create_directories(made);
    for (size_t i = 0; i < val->images.size(); ++i) {
      const CocoImage& image = val->images[i];
      std::vector<u8> ids(static_cast<size_t>(2 * image.height * image.width));  // of two bytes, high before low
      for (const i64 k : val->annotations_of[i]) {
        const CocoAnnotation& object = val->annotations[static_cast<size_t>(k)];
        const Tensor mask = decode_rle(annotation_mask(object, image.height, image.width));
        const i64 id = 1000 * kCityscapesClasses[static_cast<size_t>(object.category_id - 1)] + k;
        for (i64 p = 0; p < mask.numel(); ++p) {
          if (mask.data<u8>()[p] == 0) continue;
          ids[static_cast<size_t>(2 * p)] = static_cast<u8>(id / 256);
          ids[static_cast<size_t>(2 * p + 1)] = static_cast<u8>(id % 256);
        }
      }
      write_file(truth / (name(image.id) + "_gtFine_instanceIds.png"),
                 test::png_bytes(image.height, image.width, 0, 16, ids));
      write_file(results / (name(image.id) + ".txt"), "");
    }
    i64 masks = 0;
    for (const Detection& detection : evaluation(model).detections) {
      const std::string mask = fmt::format("masks/{}.png", masks++);
      save_png(results / mask, decode_rle(*detection.segmentation));
      const fs::path list = results / (name(detection.image_id) + ".txt");
      write_file(list, read_file(list) + fmt::format("{} {} {}\n", mask, detection.category_id, detection.score));
    }
    const CityscapesScores scores = evaluate_cityscapes(truth, results);
    CHECK(scores.images == std::ssize(val->images));
    CHECK(scores.detections > 0);
    CHECK(std::isfinite(scores.mean_ap()));
    return {{"segm", {{"AP", scores.mean_ap()}}}};
  }

  // Three steps of two batches, the last of them evaluated.
  int train_model(Segmenter& model, const std::string& metric, const Evaluator& evaluator) {
    Job job;
    job.config = config;
    job.folder = folder / "run";
    job.classes = info.classes;
    job.category_ids = info.category_ids;
    job.config.evaluation.metric = metric;
    job.data = std::make_shared<CocoSource>(
        train, folder / "train", CocoSourceConfig{.augment = config.augment.config(config.input), .seed = 1});
    job.evaluate = evaluator;
    job.quiet = true;
    return tessera::train(model, job);
  }

  // The entries of results.json, with all of the validation pictures drawn.
  nlohmann::json predicted(std::unique_ptr<Segmenter> model) const {
    model->eval();
    const LoadedModel loaded{info, config, std::move(model)};
    CHECK(predict(loaded, {.images = image_files({(folder / "val").string()}, 0),
                           .out = (folder / "out").string(),
                           .annotations = (folder / "instances_val.json").string(),
                           .threshold = 0}) == 0);
    CHECK(image_size(folder / "out" / "000001.png").height > 0);
    return nlohmann::json::parse(read_file(folder / "out" / "results.json"));
  }
};

}  // namespace

TEST_CASE("imaginary models: a list of what a call found outlives the call") {
  static_assert(std::is_same_v<decltype(std::declval<Detections>().at(0)), std::vector<Instance>>);
  static_assert(std::is_same_v<decltype(std::declval<Detections>()[0]), std::vector<Instance>>);
  const auto found = [] {
    Detections list;
    list.emplace_back().push_back(Instance::of_box(2, 0.5, {1, 2, 3, 4}));
    return list;
  };
  for (const Instance& instance : found().at(0)) CHECK(instance.class_index == 2);
}

TEST_CASE("imaginary models: a detector without masks trains, is judged by its boxes and predicts them") {
  Shapes shapes;
  auto model = std::make_unique<ImaginaryDetector>(3);
  CHECK_ERROR(shapes.train_model(*model, "segm", [](Segmenter&) -> std::optional<Scores> { return {}; }),
              "evaluation.metric = \"segm\" compares masks, and the network has none");
  CHECK(shapes.train_model(*model, "bbox", [&](Segmenter& trained) { return shapes.coco(trained); }) == 0);
  const Evaluation evaluation = shapes.evaluation(*model);
  REQUIRE(evaluation.scores.size() == 1);
  CHECK(evaluation.scores[0].second.ap.value().task == ApTask::kBbox);
  REQUIRE(!evaluation.detections.empty());

  const LoadedModel fresh{shapes.info, shapes.config, std::make_unique<ImaginaryDetector>(3)};
  PredictOptions with_maps;
  with_maps.images = image_files({(shapes.folder / "val").string()}, 0);
  with_maps.out = (shapes.folder / "out").string();
  with_maps.maps = true;
  CHECK_ERROR(predict(fresh, with_maps), "predict --maps: the model has no activation maps");

  auto restored = std::make_unique<ImaginaryDetector>(3, 2);
  Checkpoint::open(find_checkpoint(shapes.folder / "run")).restore_weights(*restored);
  const nlohmann::json results = shapes.predicted(std::move(restored));
  CHECK(results.size() == evaluation.detections.size());
  for (const nlohmann::json& result : results) {
    CHECK(result.contains("bbox"));
    CHECK(!result.contains("segmentation"));
  }
}

TEST_CASE("imaginary models: a grid network trains, is judged by Cityscapes AP, and predicts masks and boxes") {
  Shapes shapes;
  shapes.info.category_ids = {kCityscapesClasses[0], kCityscapesClasses[1], kCityscapesClasses[2]};
  auto model = std::make_unique<ImaginaryGrid>(3);
  CHECK(shapes.train_model(*model, "segm", [&](Segmenter& trained) { return shapes.cityscapes(trained); }) == 0);
  const std::string log = read_file(shapes.folder / "run" / "log.jsonl");
  CHECK(log.find("\"event\":\"eval\",\"step\":3,\"segm\":{\"AP\":") != std::string::npos);
  CHECK(log.find("loss_boxes") > log.find("\"step\":2"));  // from the second epoch on: the set has one step's pictures

  // As boxes they are ranked by the scores of boxes.
  shapes.info.category_ids = {1, 2, 3};
  const Evaluation evaluation = shapes.evaluation(*model);
  REQUIRE(evaluation.scores.size() == 2);
  REQUIRE(!evaluation.detections.empty());
  double best = 0;
  for (const Detection& detection : evaluation.detections) best = std::max(best, detection.score);
  const ApResult &masks = evaluation.scores[0].second.ap.value(), &boxes = evaluation.scores[1].second.ap.value();
  CHECK(masks.detections == boxes.detections);
  CHECK(std::ranges::max(boxes.scores) <= best * best + 1e-9);

  const nlohmann::json results = shapes.predicted(std::move(model));
  CHECK(!results.empty());
  for (const nlohmann::json& result : results) CHECK((result.contains("bbox") && result.contains("segmentation")));
}

}  // namespace tessera
