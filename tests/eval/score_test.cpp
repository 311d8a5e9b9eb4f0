#include "eval/score.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

TEST_CASE("score: two files and a metric give a table and JSON") {
  const test::TemporaryFolder folder;
  const std::filesystem::path truth = folder / "truth.json", found = folder / "found.json", none = folder / "none.json";
  write_file(truth, R"({"images": [{"id": 1, "file_name": "a.png", "height": 50, "width": 50}],
      "categories": [{"id": 1, "name": "thing"}],
      "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0,
                       "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]}]})");
  write_file(found, R"([{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]}])");
  write_file(none, "[]");
  for (const std::string task : {"segm", "bbox"}) {
    const Score score = score_results("coco-" + task, {truth, found});
    CHECK(score.text.find(task + ": 1 images, 1 detections") == 0);
    CHECK(nlohmann::json::parse(score.json)[task]["stats"]["AP"].get<double>() == doctest::Approx(1));
    CHECK(nlohmann::json::parse(score_results("coco-" + task, {truth, none}).json)[task]["stats"]["AP"] == 0.0);
  }
  CHECK_ERROR(score_results("coco", {truth, found}), "there is no metric \"coco\"; coco-segm, coco-bbox");
  write_file(found, R"([{"image_id": 8, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]}])");
  CHECK_ERROR(score_results("coco-bbox", {truth, found}), "found.json: result 0: there is no image 8 in");
}

TEST_CASE("score: tide compares what the results have, unless it is told what to compare") {
  const test::TemporaryFolder folder;
  const std::filesystem::path truth = folder / "truth.json", found = folder / "found.json";
  write_file(truth, R"({"images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 4}],
      "categories": [{"id": 1, "name": "thing"}],
      "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 4], "area": 8, "iscrowd": 0,
                       "segmentation": [[0, 0, 2, 0, 2, 4, 0, 4]]}]})");
  const auto tasks = [&](const std::string& metric, const std::string& results) {
    write_file(found, results);
    const Score score = score_results(metric, {truth, found});
    const nlohmann::json json = nlohmann::json::parse(score.json);
    CHECK(score.charts.size() == json.size());
    std::string names;
    for (const auto& [task, figures] : json.items()) {
      names += task + " ";
      for (const char* key :
           {"AP50", "AP_per_threshold", "AP_50_95", "main_dAP", "special_dAP", "counts", "error_index"})
        CHECK(figures.contains(key));
    }
    return names;
  };
  const std::string mask = R"("segmentation": {"size": [4, 4], "counts": [0, 8, 8]})", box = R"("bbox": [0, 0, 2, 4])";
  const std::string entry = R"([{"image_id": 1, "category_id": 1, "score": 0.5, )";
  CHECK(tasks("tide", entry + mask + "}]") == "segm ");
  CHECK(tasks("tide", entry + box + "}]") == "bbox ");
  CHECK(tasks("tide", entry + box + "," + mask + "}]") == "bbox segm ");
  CHECK(tasks("tide", "[]") == "bbox ");
  CHECK(tasks("tide-segm", entry + box + "}]") == "segm ");
  CHECK(tasks("tide-bbox", entry + mask + "}]") == "bbox ");
}

}  // namespace
}  // namespace tessera
