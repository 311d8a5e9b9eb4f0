#include "eval/score.h"

#include <doctest/doctest.h>

#include <algorithm>
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
  CHECK_ERROR(score_results("coco-segm", {truth, found, 0.1}), "metric coco-segm does not take --ratio");
  write_file(found, R"([{"image_id": 8, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]}])");
  CHECK_ERROR(score_results("coco-bbox", {truth, found}), "found.json: result 0: there is no image 8 in");
}

TEST_CASE("score: every metric says what it is, and LVIS files choose the rules of Boundary AP") {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& category, const std::string& image) {
    write_file(
        folder / "truth.json",
        R"({"images": [{"id": 1, "file_name": "a.png", "height": 50, "width": 50)" + image +
            R"(}], "categories": [{"id": 9, "name": "thing")" + category +
            R"(}], "annotations": [{"id": 1, "image_id": 1, "category_id": 9, "bbox": [10, 10, 20, 20], "area": 400,
                       "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]}]})");
  };
  write_file(folder / "found.json",
             R"([{"image_id": 1, "category_id": 9, "score": 0.5, "bbox": [10, 10, 20, 20]},
                 {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]}])");
  const ScoreRequest request{folder / "truth.json", folder / "found.json"};
  write("", "");
  CHECK(nlohmann::json::parse(score_results("boundary-segm", request).json)["boundary"]["stats"]["AP50"] > 0.99);
  CHECK_ERROR(score_results("lvis-segm", request), "category 9 has no \"frequency\"; is this an LVIS file?");
  write(R"(, "frequency": "f", "synset": "person.n.01")",
        R"(, "neg_category_ids": [], "not_exhaustive_category_ids": [])");
  for (const std::string metric : {"lvis-segm", "lvis-bbox", "boundary-segm"}) {
    const Score score = score_results(metric, request);
    const auto json = nlohmann::json::parse(score.json)[metric == "boundary-segm" ? "boundary" : metric.substr(5)];
    CHECK(json["results"]["APf"] > 0.99);
    CHECK(json["results"]["APr"] == -1.0);
    CHECK(json["per_category"][0]["id"] == 9);
    CHECK(json["per_category"][0]["frequency"] == "f");
    CHECK(std::count(score.text.begin(), score.text.end(), '\n') == 14);
  }
  ScoreRequest as_coco = request;
  as_coco.coco_categories = true;
  const auto json = nlohmann::json::parse(score_results("lvis-segm", as_coco).json)["segm"];
  CHECK(json["per_category"][0]["id"] == 1);
  CHECK(json["per_category"][0]["name"] == "person");
  CHECK(json["results"]["AP"] > 0.99);
  for (const Metric& metric : metrics()) CHECK(std::string(metric.meaning).size() > 10);
}

// One image, two categories, one object of the first.
struct OddInput {
  test::TemporaryFolder folder;
  std::string annotations =
      R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0,
          "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]})";
  const std::string good = R"({"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]})";

  nlohmann::json score(const std::string& metric, const std::string& results) {
    write_file(folder / "truth.json", R"({"images": [{"id": 1, "file_name": "a.png", "height": 50, "width": 50}],
        "categories": [{"id": 1, "name": "thing"}, {"id": 2, "name": "other"}], "annotations": [)" +
                                          annotations + "]}");
    write_file(folder / "found.json", "[" + results + "]");
    return *nlohmann::json::parse(score_results(metric, {folder / "truth.json", folder / "found.json"}).json).begin();
  }
};

TEST_CASE("score: detections of unknown categories, and categories without objects, change nothing") {
  OddInput odd;
  const std::string unknown = R"(, {"image_id": 1, "category_id": 77, "score": 0.9, "bbox": [0, 0, 9, 9]})";
  const std::string no_object = R"(, {"image_id": 1, "category_id": 2, "score": 0.9, "bbox": [0, 0, 9, 9]})";
  for (const std::string& more : {unknown, no_object, std::string()}) {
    const nlohmann::json json = odd.score("coco-bbox", odd.good + more);
    CHECK(json["stats"]["AP"].get<double>() == doctest::Approx(1));
    CHECK(json["per_category"][1]["AP"] == -1.0);
  }
}

TEST_CASE("score: results that cannot be judged are errors that name the entry") {
  OddInput odd;
  const auto with = [&](const std::string& entry) { odd.score("coco-segm", odd.good + ", " + entry); };
  const auto scored = [&](const std::string& score) {
    with(R"({"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": )" + score + "}");
  };
  for (const std::string score : {"NaN", "nan", "Infinity", "1e999", "-1e999", "\"0.5\"", "null"})
    CHECK_ERROR(scored(score), "found.json: [1]: score: a finite number is expected");
  CHECK_ERROR(with(R"({"image_id": 8, "category_id": 1, "score": 1, "bbox": [0, 0, 9, 9]})"),
              "found.json: result 1: there is no image 8 in");
  const auto masked = [&](const std::string& mask) {
    with(R"({"image_id": 1, "category_id": 1, "score": 1, "segmentation": )" + mask + "}");
  };
  CHECK_ERROR(masked(R"({"size": [40, 50], "counts": [2000]})"),
              "found.json: result 1 (image 1): its mask is 40 x 50 (height x width), the image 50 x 50");
  CHECK_ERROR(masked(R"({"size": [50, 50], "counts": [2400]})"),
              "found.json: [1]: segmentation: rle: 1 runs add up to");
  CHECK_ERROR(masked(R"({"size": [50, 50], "counts": "P"})"), "found.json: [1]: segmentation: rle: the string");
}

TEST_CASE("score: annotations with the same id are an error") {
  OddInput odd;
  odd.annotations += ", " + odd.annotations;
  CHECK_ERROR(odd.score("coco-bbox", odd.good), "truth.json: annotation id 1 occurs twice");
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
    CHECK(score.bars.size() == json.size());
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
