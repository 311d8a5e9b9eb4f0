#include "eval/tide.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/rasterise.h"
#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

constexpr size_t kCls = 0, kLoc = 1, kBoth = 2, kDupe = 3, kBkg = 4, kMiss = 5;

// One picture with three squares of 20 x 20: two of class 1, one of class 2; and an empty picture.
CocoDataset squares() {
  CocoDataset dataset;
  dataset.name = "squares";
  dataset.images = {{5, "b.png", 100, 200}, {2, "a.png", 100, 200}};
  dataset.categories = {{1, "one"}, {2, "two"}};
  const auto square = [&](i64 id, i64 category, double x) {
    const Polygons outline = {{x, 10, x + 20, 10, x + 20, 30, x, 30}};
    dataset.annotations.push_back({id, 5, category, XywhBox{x, 10, 20, 20}, 400, false, outline});
  };
  square(1, 1, 10);
  square(2, 1, 50);
  square(3, 2, 90);
  index_coco(dataset);
  return dataset;
}

Detection box(i64 image, i64 category, double score, double x) {
  return {image, category, score, XywhBox{x, 10, 20, 20}, std::nullopt};
}

using Lists = std::array<std::vector<i64>, kTideErrors>;

TEST_CASE("tide: by the rules of LVIS a detection is not wrong where its category is not marked completely") {
  CocoDataset dataset = squares();
  for (CocoCategory& category : dataset.categories) category.frequency = 'f';
  const std::vector<Detection> detections = {
      box(5, 1, 0.9, 150),  // beside all, marked completely: wrong
      box(5, 1, 0.8, 10),   // right
      box(5, 2, 0.7, 150),  // beside all
      box(5, 2, 0.6, 90),   // right
      box(2, 1, 0.5, 10),   // nobody looked for it
  };
  const auto evaluate = [&](std::vector<i64> absent, std::vector<i64> incomplete) {
    for (CocoImage& image : dataset.images) {
      image.neg_category_ids = absent;
      image.not_exhaustive_category_ids = incomplete;
    }
    return evaluate_tide(dataset, detections, ApTask::kBbox).ap50();
  };
  const double half = 51 * 0.5 / 101;  // of class one: one of two objects, behind a wrong one
  CHECK(evaluate({}, {}) == doctest::Approx(100 * (half + 0.5) / 2));
  CHECK(evaluate({}, {2}) == doctest::Approx(100 * (half + 1) / 2));
  // Class one declared absent in the picture without objects: the detection there, behind the right one, is wrong.
  CHECK(evaluate({1}, {2}) == doctest::Approx(100 * (half + 1) / 2));
  CHECK(evaluate({1}, {1, 2}) == doctest::Approx(100 * (51.0 / 101 + 1) / 2));
  dataset.annotations.pop_back();  // class two: no object, so its detections in the first picture are excused
  index_coco(dataset);
  CHECK(evaluate({}, {}) == doctest::Approx(100 * half));
  CHECK(evaluate({2}, {}) == doctest::Approx(100 * half / 2));
}

TEST_CASE("tide: every kind of mistake is told from the others") {
  const std::vector<Detection> detections = {
      box(5, 1, 0.9, 10),   // right
      box(5, 1, 0.8, 12),   // again: Dupe
      box(5, 2, 0.7, 50),   // on a "one": Cls
      box(5, 2, 0.6, 100),  // shifted by half: Loc
      box(5, 1, 0.5, 100),  // half on a "two": Both
      box(5, 1, 0.4, 150),  // beside all: Bkg
      box(2, 1, 0.3, 10),   // in a picture without objects: Bkg
  };
  const TideResult result = evaluate_tide(squares(), detections, ApTask::kBbox);
  CHECK(result.errors == Lists{{{2}, {3}, {4}, {1}, {5, 6}, {}}});
  // Class one: found at recall 1/2, behind it only wrong ones: 51 of 101 samples. Class two: nothing right.
  CHECK(result.ap50() == doctest::Approx(100 * (51.0 / 101) / 2));
  // Cls mended: class one gains the second object at 0.7 behind one wrong detection, precision 2/3.
  CHECK(result.dap[kCls] == doctest::Approx(100 * (50 * (2.0 / 3) / 101) / 2));
  // Loc mended: class two gains its object behind one wrong detection, precision 1/2.
  CHECK(result.dap[kLoc] == doctest::Approx(100 * 0.5 / 2));
  CHECK(result.dap[kDupe] == 0);
  CHECK(result.dap[kMiss] == 0);
  CHECK(result.dap_false_pos == doctest::Approx(0).epsilon(1e-12));
  // No object missed: class one has only what was found, class two drops to a class without objects.
  CHECK(result.dap_false_neg == doctest::Approx(100 * 0.5 - result.ap50()));
}

TEST_CASE("tide: an object that nothing is on is a miss, and mending it shrinks what is to be found") {
  const TideResult result = evaluate_tide(squares(), std::vector{box(5, 1, 0.9, 10)}, ApTask::kBbox);
  CHECK(result.errors == Lists{{{}, {}, {}, {}, {}, {1, 2}}});
  // Class one is then perfect; class two has neither objects nor detections and leaves the mean.
  CHECK(result.dap[kMiss] == doctest::Approx(100 - 100 * (51.0 / 101) / 2));
  CHECK(result.dap_false_neg == doctest::Approx(result.dap[kMiss]));
  CHECK(result.dap[kBkg] == 0);
}

TEST_CASE("tide: of Loc and Cls mistakes on one object only the best finds it when mended") {
  // Both are on the second square; the Loc mistake has the higher score.
  const std::vector<Detection> detections = {box(5, 1, 0.9, 10), box(5, 1, 0.8, 60), box(5, 2, 0.7, 50)};
  const TideResult result = evaluate_tide(squares(), detections, ApTask::kBbox);
  CHECK(result.errors == Lists{{{2}, {1}, {}, {}, {}, {2}}});
  CHECK(result.dap[kLoc] == doctest::Approx(100 * (50.0 / 101) / 2));
  CHECK(result.dap[kCls] == 0);
}

TEST_CASE("tide: a detection on a crowd region is not counted as wrong, but listed") {
  CocoDataset dataset = squares();
  dataset.annotations[1].iscrowd = true;
  const std::vector<Detection> detections = {box(5, 1, 0.95, 52), box(5, 1, 0.9, 10)};
  const TideResult result = evaluate_tide(dataset, detections, ApTask::kBbox);
  CHECK(result.ap50() == doctest::Approx(50));
  CHECK(result.errors == Lists{{{}, {}, {}, {}, {0}, {2}}});
  CHECK(result.dap[kBkg] == 0);
}

TEST_CASE("tide: a class that the data set does not list counts as 0") {
  const std::vector<Detection> detections = {box(5, 1, 0.9, 10), box(5, 1, 0.9, 50), box(5, 2, 0.9, 90)};
  CHECK(evaluate_tide(squares(), detections, ApTask::kBbox).ap == doctest::Approx(100));
  std::vector<Detection> more = detections;
  more.push_back(box(5, 77, 0.1, 150));
  CHECK(evaluate_tide(squares(), more, ApTask::kBbox).ap == doctest::Approx(200.0 / 3));
}

TEST_CASE("tide: every figure of the edge cases equals the official tool's") {
  const auto sets = nlohmann::json::parse(std::ifstream(test::source_dir() / "tests/eval/coco_edge_cases.json"));
  const auto expected = nlohmann::json::parse(std::ifstream(test::source_dir() / "tests/eval/tide_edge_cases.json"));
  REQUIRE(sets.size() == expected.size());
  const test::TemporaryFolder folder;
  for (size_t i = 0; i < sets.size(); ++i) {
    INFO(sets[i]["name"].get<std::string>());
    REQUIRE(sets[i]["name"] == expected[i]["name"]);
    write_file(folder / "truth.json", sets[i]["gt"].dump());
    write_file(folder / "results.json", sets[i]["dets"].dump());
    const ApTask task = expected[i]["mode"] == "mask" ? ApTask::kSegm : ApTask::kBbox;
    const TideResult result =
        evaluate_tide(load_coco(folder / "truth.json"), load_detections(folder / "results.json"), task);
    const auto equal = [](double a, const nlohmann::json& b) { return std::abs(a - b.get<double>()) < 1e-9; };
    CHECK(equal(result.ap50(), expected[i]["AP50"]));
    for (size_t kind = 0; kind < kTideErrors; ++kind) {
      INFO(kTideErrorNames[kind]);
      CHECK(equal(result.dap[kind], expected[i]["main_dAP"][kTideErrorNames[kind]]));
      CHECK(result.errors[kind] == expected[i]["error_index"][kTideErrorNames[kind]].get<std::vector<i64>>());
    }
    CHECK(equal(result.dap_false_pos, expected[i]["special_dAP"]["FalsePos"]));
    CHECK(equal(result.dap_false_neg, expected[i]["special_dAP"]["FalseNeg"]));
  }
}

TEST_CASE("tide: masks, boxes of masks and boxes as masks") {
  std::vector<Detection> masks;
  for (const double x : {10.0, 50.0})
    masks.push_back({5, 1, 0.9, std::nullopt, rasterise_box({x, 10, 20, 20}, 100, 200)});
  const std::vector<Detection> boxes = {box(5, 1, 0.9, 10), box(5, 1, 0.9, 50)};
  for (const ApTask task : {ApTask::kBbox, ApTask::kSegm})
    for (const auto& detections : {masks, boxes}) CHECK(evaluate_tide(squares(), detections, task).ap == 50);
}

TEST_CASE("tide: without detections everything is missed, and an empty data set has nothing to say") {
  const TideResult result = evaluate_tide(squares(), {}, ApTask::kSegm);
  CHECK(result.ap == 0);
  CHECK(result.errors[kMiss] == std::vector<i64>{0, 1, 2});
  CocoDataset empty;
  index_coco(empty);
  CHECK(evaluate_tide(empty, {}, ApTask::kBbox).ap == 0);
}

TEST_CASE("tide: the result does not depend on the number of threads") {
  std::vector<Detection> detections;
  for (int i = 0; i < 300; ++i)
    detections.push_back(box(i % 3 ? 5 : 2, 1 + i % 2, (i * 37 % 10) / 10.0, (i * 13) % 150));
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::string one = tide_json(std::vector{evaluate_tide(squares(), detections, ApTask::kBbox)});
  omp_set_num_threads(4);
  const std::string four = tide_json(std::vector{evaluate_tide(squares(), detections, ApTask::kBbox)});
  omp_set_num_threads(threads);
  CHECK(one == four);
}

TEST_CASE("tide: detections that do not fit the data set are errors that name them") {
  const CocoDataset dataset = squares();
  const auto evaluate = [&](Detection bad) { evaluate_tide(dataset, std::vector{bad}, ApTask::kSegm, "r.json"); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_ERROR(evaluate(box(4, 1, 0.9, 10)), "r.json: result 0: there is no image 4 in squares");
  CHECK_ERROR(evaluate(box(5, 1, nan, 10)), "result 0 (image 5): its score is nan");
  CHECK_ERROR(evaluate(box(5, 1, 0.5, nan)), "is not [x, y, width, height] in finite numbers");
  CHECK_ERROR(evaluate({5, 1, 0.5, std::nullopt, Rle{50, 200, {10000}}}), "its mask is 50 x 200");
  CHECK_ERROR(evaluate({5, 1, 0.5, std::nullopt, std::nullopt}), "neither a box nor a mask");
  CocoDataset bare = squares();
  bare.annotations[1].segmentation = std::monostate{};
  CHECK_ERROR(evaluate_tide(bare, {}, ApTask::kSegm), "squares: annotations[1] (id 2): it has no segmentation");
}

TEST_CASE("tide: the table names every kind of mistake") {
  const std::string table = tide_table(evaluate_tide(squares(), std::vector{box(5, 1, 0.9, 10)}, ApTask::kBbox));
  CHECK(table.find("bbox: 2 images, 1 detections") == 0);
  CHECK(table.find("AP50 25.25") != std::string::npos);
  for (const char* name : kTideErrorNames) CHECK(table.find(name) != std::string::npos);
  CHECK(table.find("nan") == std::string::npos);
}

}  // namespace
}  // namespace tessera
