#include "eval/average_precision.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/rasterise.h"
#include "eval/accumulate.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

// Two images and two categories with three squares; the last image and the last category are empty.
CocoDataset squares() {
  CocoDataset dataset;
  dataset.name = "squares";
  dataset.images = {{5, "b.png", 100, 100}, {2, "a.png", 100, 100}, {9, "c.png", 100, 100}};
  dataset.categories = {{1, "one"}, {2, "two"}, {7, "seven"}};
  auto square = [&](i64 id, i64 image, i64 category, double x) {
    const Polygons outline = {{x, 10, x + 20, 10, x + 20, 30, x, 30}};
    dataset.annotations.push_back({id, image, category, XywhBox{x, 10, 20, 20}, 400, false, outline});
  };
  square(1, 5, 1, 10);
  square(2, 5, 1, 50);
  square(3, 2, 2, 10);
  index_coco(dataset);
  return dataset;
}

Detection box(i64 image, i64 category, double score, double x) {
  return {image, category, score, XywhBox{x, 10, 20, 20}, std::nullopt};
}

Detection mask(i64 image, i64 category, double score, double x) {
  return {image, category, score, std::nullopt, rasterise_box({x, 10, 20, 20}, 100, 100)};
}

TEST_CASE("coco: perfect detections give 1, absent areas -1") {
  const CocoDataset dataset = squares();
  const std::vector<Detection> masks = {mask(5, 1, 0.9, 10), mask(5, 1, 0.8, 50), mask(2, 2, 0.3, 10)};
  const std::vector<Detection> boxes = {box(5, 1, 0.9, 10), box(5, 1, 0.8, 50), box(2, 2, 0.3, 10)};
  for (const ApResult& result :
       {evaluate_coco(dataset, masks, ApTask::kSegm), evaluate_coco(dataset, boxes, ApTask::kBbox),
        evaluate_coco(dataset, masks, ApTask::kBbox), evaluate_coco(dataset, boxes, ApTask::kSegm)}) {
    CHECK(result.stats[0] == doctest::Approx(1));
    CHECK(result.stats[3] == doctest::Approx(1));     // small
    CHECK(result.stats[4] == -1);                     // medium
    CHECK(result.stats[6] == doctest::Approx(0.75));  // one detection finds one of two in the first category
    CHECK(result.stats[8] == 1);
    REQUIRE(result.per_category.size() == 3);
    CHECK(result.per_category[1].id == 2);
    CHECK(result.per_category[1].ap == doctest::Approx(1));
    CHECK(result.per_category[2].ap == -1);
    CHECK(result.precision.size() == 10 * 101 * 3 * 4 * 3);
    CHECK(result.recall.size() == 10 * 3 * 4 * 3);
  }
}

TEST_CASE("coco: every figure of the edge cases equals the COCO tool's") {
  const auto cases = nlohmann::json::parse(std::ifstream(test::source_dir() / "tests/eval/coco_edge_cases.json"));
  const test::TemporaryFolder folder;
  CHECK(cases.size() == 34);
  for (const nlohmann::json& item : cases) {
    INFO(item["name"].get<std::string>());
    write_file(folder / "truth.json", item["gt"].dump());
    write_file(folder / "results.json", item["dets"].dump());
    const CocoDataset dataset = load_coco(folder / "truth.json");
    const ApTask task = item["iou_type"] == "segm" ? ApTask::kSegm : ApTask::kBbox;
    const ApResult result = evaluate_coco(dataset, load_detections(folder / "results.json"), task);
    const size_t K = dataset.categories.size();
    for (size_t i = 0; i < 12; ++i) CHECK(result.stats[i] == item["stats"][i].get<double>());
    for (size_t i = 0; i < K * 12; ++i)
      CHECK(result.recall[i] == item["recall_K_A_M_at_0.50"][i / 12][i / 3 % 4][i % 3].get<double>());
    for (size_t t = 0; t < 10; ++t) {
      for (size_t i = 0; i < K * 4; ++i) {
        std::vector<double> curve;
        for (size_t r = 0; r < 101; ++r) curve.push_back(result.precision[((t * 101 + r) * K * 4 + i) * 3 + 2]);
        CHECK(mean_of_present(curve) == item["ap_T_K_A_at_100"][t][i / 4][i % 4].get<double>());
      }
    }
  }
}

TEST_CASE("coco: no detections at all give 0 where there is something to find") {
  const ApResult result = evaluate_coco(squares(), {}, ApTask::kSegm);
  CHECK(result.stats[0] == 0);
  CHECK(result.stats[4] == -1);
  CHECK(result.stats[8] == 0);
  CHECK(result.per_category[0].ap == 0);
  CHECK(result.per_category[2].ap == -1);
}

TEST_CASE("coco: a data set without images, categories or annotations gives -1 everywhere") {
  CocoDataset dataset;
  index_coco(dataset);
  const ApResult result = evaluate_coco(dataset, {}, ApTask::kBbox);
  for (const double stat : result.stats) CHECK(stat == -1);
}

TEST_CASE("coco: class-agnostic evaluation does not look at the category, but it must exist") {
  const CocoDataset dataset = squares();
  std::vector<Detection> boxes = {box(5, 7, 0.9, 10), box(5, 2, 0.8, 50), box(2, 1, 0.3, 10)};
  CHECK(evaluate_coco(dataset, boxes, ApTask::kBbox).stats[0] == 0);
  const ApResult result = evaluate_coco(dataset, boxes, ApTask::kBbox, {.class_agnostic = true});
  CHECK(result.stats[0] == doctest::Approx(1));
  REQUIRE(result.per_category.size() == 1);
  CHECK(result.per_category[0].id == -1);
  // Of equal scores the lower category goes first, whatever the order of the file: right before wrong.
  const std::vector<Detection> tie = {box(2, 7, 0.5, 70), box(2, 1, 0.5, 10)};
  CHECK(evaluate_coco(dataset, tie, ApTask::kBbox, {.class_agnostic = true}).precision[0] == doctest::Approx(1));
  for (Detection& detection : boxes) detection.category_id = 50;
  CHECK(evaluate_coco(dataset, boxes, ApTask::kBbox, {.class_agnostic = true}).stats[0] == 0);
}

TEST_CASE("coco: the area of a mask detection is its mask's, or its box's on request") {
  CocoDataset dataset = squares();
  // A wrong mask of 400 pixels, in a box of 2000: it lowers "small" unless the box decides.
  std::vector<Detection> detections = {mask(5, 1, 0.95, 70), mask(5, 1, 0.9, 10), mask(5, 1, 0.8, 50)};
  for (Detection& detection : detections) detection.bbox = rle_bbox(*detection.segmentation);
  detections[0].bbox = XywhBox{0, 0, 100, 20};
  const ApResult by_mask = evaluate_coco(dataset, detections, ApTask::kSegm);
  const ApResult by_box = evaluate_coco(dataset, detections, ApTask::kSegm, {.areas_from_boxes = true});
  CHECK(by_mask.per_category[0].ap_small < 0.7);
  CHECK(by_box.per_category[0].ap_small == doctest::Approx(1));
  CHECK(by_mask.per_category[0].ap == by_box.per_category[0].ap);
}

TEST_CASE("coco: the result does not depend on the number of threads") {
  const CocoDataset dataset = squares();
  std::vector<Detection> detections;
  for (int i = 0; i < 500; ++i)
    detections.push_back(mask(i % 3 ? 5 : 2, 1 + i % 2, (i * 37 % 10) / 10.0, (i * 13) % 80));
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const ApResult one = evaluate_coco(dataset, detections, ApTask::kSegm);
  omp_set_num_threads(4);
  const ApResult four = evaluate_coco(dataset, detections, ApTask::kSegm);
  omp_set_num_threads(threads);
  CHECK(one.precision == four.precision);
  CHECK(one.recall == four.recall);
  CHECK(one.scores == four.scores);
  CHECK(one.stats == four.stats);
}

TEST_CASE("coco: detections that do not fit the data set are errors that name them") {
  const CocoDataset dataset = squares();
  auto evaluate = [&](Detection bad, ApTask task = ApTask::kSegm, ApOptions options = {}) {
    evaluate_coco(dataset, std::vector<Detection>{mask(5, 1, 0.9, 10), std::move(bad)}, task, options);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_ERROR(evaluate(mask(4, 1, 0.9, 10)), "results: result 1: there is no image 4 in squares");
  CHECK_ERROR(evaluate(mask(5, 1, nan, 10)), "result 1 (image 5): its score is nan");
  CHECK_ERROR(evaluate({5, 1, 0.5, std::nullopt, Rle{50, 200, {10000}}}), "its mask is 50 x 200");
  CHECK_ERROR(evaluate({5, 1, 0.5, std::nullopt, Rle{100, 100, {1, 2}}}), "add up to 3");
  CHECK_ERROR(evaluate({5, 1, 0.5, std::nullopt, std::nullopt}), "neither a box nor a mask");
  CHECK_ERROR(evaluate(box(5, 1, 0.5, 10)), "it has no mask, though the first result has one");
  CHECK_ERROR(evaluate_coco(dataset, std::vector{box(5, 1, 0.9, 10), mask(5, 1, 0.9, 10)}, ApTask::kBbox),
              "it has no box, though the first result has one");
  CHECK_ERROR(evaluate_coco(dataset, std::vector{box(5, 1, 0.9, nan)}, ApTask::kBbox),
              "is not [x, y, width, height] in finite numbers");
  CocoDataset raw;
  raw.images = {{1, "", 2, 2}};
  CHECK_ERROR(evaluate_coco(raw, {}, ApTask::kBbox), "not indexed");
}

TEST_CASE("coco: annotations without a mask are an error for masks only") {
  CocoDataset dataset = squares();
  dataset.annotations[1].segmentation = std::monostate{};
  CHECK_ERROR(evaluate_coco(dataset, {}, ApTask::kSegm), "squares: annotations[1] (id 2): it has no segmentation");
  CHECK(evaluate_coco(dataset, {}, ApTask::kBbox).stats[0] == 0);
}

TEST_CASE("coco: an annotation with id 0 is pointed out") {
  CocoDataset dataset = squares();
  dataset.annotations[0].id = 0;
  const ApResult result = evaluate_coco(dataset, {}, ApTask::kBbox);
  REQUIRE(result.warnings.size() == 1);
  CHECK(ap_table(result).find("warning: squares: annotation id 0") != std::string::npos);
}

TEST_CASE("coco: results of categories that the annotations do not have are counted, and change no figure") {
  const CocoDataset dataset = squares();
  std::vector<Detection> boxes = {box(5, 1, 0.9, 10)};
  const ApResult without = evaluate_coco(dataset, boxes, ApTask::kBbox);
  CHECK(without.warnings.empty());
  for (const i64 category : {99, 98, 99}) boxes.push_back(box(5, category, 0.95, 10));
  const ApResult with = evaluate_coco(dataset, boxes, ApTask::kBbox, {.results_name = "found.json"});
  CHECK(with.stats == without.stats);
  CHECK(with.warnings ==
        std::vector<std::string>{"found.json: 3 results of categories that are not in squares are left out (98, 99)"});
}

TEST_CASE("coco: the report has the twelve figures under the COCO names, with all digits") {
  const CocoDataset dataset = squares();
  const std::vector<Detection> detections = {mask(5, 1, 0.9, 12), mask(5, 1, 0.8, 52), mask(2, 2, 0.3, 10)};
  const std::vector<ApResult> results = {evaluate_coco(dataset, detections, ApTask::kSegm),
                                         evaluate_coco(dataset, detections, ApTask::kBbox)};
  const auto json = nlohmann::ordered_json::parse(ap_json(results));
  for (const ApResult& result : results) {
    const auto& task = json[name_of(result.task)];
    size_t i = 0;
    for (const auto& [name, value] : task["stats"].items()) {
      CHECK(name == result.stat_rules[i].name);
      CHECK(value.get<double>() == result.stats[i++]);
    }
    CHECK(i == 12);
    CHECK(task["per_category"][2] == nlohmann::ordered_json({{"id", 7},
                                                             {"name", "seven"},
                                                             {"AP", -1.0},
                                                             {"AP50", -1.0},
                                                             {"AP75", -1.0},
                                                             {"APs", -1.0},
                                                             {"APm", -1.0},
                                                             {"APl", -1.0},
                                                             {"AR100", -1.0}}));
  }
  const std::string table = ap_table(results[0]);
  CHECK(std::count(table.begin(), table.end(), '\n') == 13);
  CHECK(table.find(fmt::format("= {:6.3f}", results[0].stats[0])) != std::string::npos);
}

}  // namespace
}  // namespace tessera
