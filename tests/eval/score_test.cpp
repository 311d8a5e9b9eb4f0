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
  CHECK_ERROR(score_results("lvis-segm", request),
              "category 9 has no \"frequency\" (r, c or f); is this an LVIS file?");
  write(R"(, "frequency": "f", "synset": "person.n.01")",
        R"(, "neg_category_ids": [], "not_exhaustive_category_ids": [])");
  for (const std::string metric : {"lvis-segm", "lvis-bbox", "boundary-segm"}) {
    const Score score = score_results(metric, request);
    const auto json = nlohmann::json::parse(score.json)[metric == "boundary-segm" ? "boundary" : metric.substr(5)];
    CHECK(json["results"]["APf"] > 0.99);
    CHECK(json["results"]["APr"] == -1.0);
    CHECK(json["per_category"][0]["id"] == 9);
    CHECK(json["per_category"][0]["frequency"] == "f");
    CHECK(std::count(score.text.begin(), score.text.end(), '\n') == 15);  // the last warns of category 1
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
  for (const std::string score : {"NaN", "Infinity", "1e999", "-1e999", "\"0.5\"", "null"})
    CHECK_ERROR(scored(score), "found.json: [1]: score: a finite number is expected, not ");
  CHECK_ERROR(scored("nan"), "found.json: line 1, column 142 (byte 141): a value is expected, not nan");
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

// A data set of two images with one object each, and results that find both. Texts are replaced in them.
struct Fields {
  test::TemporaryFolder folder;
  std::string truth = R"({"images": [{"id": 1, "height": 50, "width": 50}, {"id": 2, "height": 50, "width": 50}],
    "categories": [{"id": 1, "name": "thing"}],
    "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0,
                     "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]},
                    {"id": 8, "image_id": 2, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0,
                     "segmentation": {"size": [50, 50], "counts": [510, 20, 1970]}}]})";
  std::string found = R"([{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]},
    {"image_id": 2, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20], "segmentation": {"size": [50, 50], "counts": [510, 20, 1970]}}])";

  double ap(const std::string& metric) {
    write_file(folder / "truth.json", truth);
    write_file(folder / "found.json", found);
    const nlohmann::json json =
        nlohmann::json::parse(score_results(metric, {folder / "truth.json", folder / "found.json"}).json);
    return metric.starts_with("tide") ? json.begin()->at("AP50").get<double>() / 100
                                      : json.begin()->at("stats")["AP"].get<double>();
  }
  static void change(std::string& text, const std::string& from, const std::string& to) {
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
  }
};

TEST_CASE("score: a metric judges only what it compares") {
  const std::string box = "\"bbox\": [10, 10, 20, 20]", polygon = "[[10, 10, 30, 10, 30, 30, 10, 30]]",
                    runs = R"({"size": [50, 50], "counts": [510, 20, 1970]})", size = "\"height\": 50, \"width\": 50";
  struct Case {
    std::string from, to, unharmed, harmed, message;
  };
  const std::string bbox = "coco-bbox", segm = "coco-segm", place = "truth.json: annotations[0] (id 7): ";
  const Case cases[] = {
      {box + ",", "", segm, bbox, place + "to compare boxes a \"bbox\" is needed"},
      {box, "\"bbox\": null", segm, bbox, place + "to compare boxes a \"bbox\" is needed"},
      {box, "\"bbox\": []", segm, "tide-bbox", place + "to compare boxes a \"bbox\" is needed"},
      {box, "\"bbox\": [10, 10, 20]", "boundary-segm", bbox, place + "to compare boxes a \"bbox\" is needed"},
      {box, "\"bbox\": \"10 10 20 20\"", "tide-segm", bbox, place + "to compare boxes a \"bbox\" is needed"},
      {"\"area\": 400,", "", "tide-bbox", bbox, place + "an \"area\" is needed"},
      {"\"area\": 400", "\"area\": null", "tide-segm", segm, place + "an \"area\" is needed"},
      {"\"area\": 400", "\"area\": NaN", "tide-bbox", "boundary-segm", place + "an \"area\" is needed"},
      {polygon, "null", bbox, segm, place + "it has no segmentation"},
      {polygon, "\"\"", bbox, "boundary-segm", place + "it has no segmentation"},
      {polygon, "[]", "tide-bbox", "tide-segm", place + "it has no segmentation"},
      {polygon, "{}", bbox, segm, place + "it has no segmentation"},
      {polygon, "[[10, 10, 20, 20]]", bbox, segm, place + "polygon: the first part has 4 numbers, as a box has"},
      {polygon, "[10, 10, 30, 10, 30, 30]", bbox, "tide-segm", place + "segmentation[0]: a polygon"},
      {polygon, "[[1e7, 1e7, 3e7, 1e7, 3e7, 3e7]]", bbox, segm, place + "polygon: coordinate 10000000 is out of range"},
      {runs, R"({"size": [50, 50], "counts": "P"})", bbox, segm,
       "truth.json: annotations[1] (id 8): segmentation: rle"},
      {runs, R"({"size": [40, 50], "counts": [2000]})", bbox, segm,
       "annotations[1] (id 8): its run-length mask is 40 x 50"},
      {size, "\"height\": -1, \"width\": -1", bbox, segm, place + "a mask made of polygons needs \"height\""},
      {size, "\"height\": null", bbox, "boundary-segm", place + "a mask made of polygons needs \"height\""},
      {"{\"id\": 1, " + size, "{\"id\": 1", bbox, "tide-segm", place + "a mask made of polygons needs \"height\""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.to);
    Fields files;
    Fields::change(files.truth, c.from, c.to);
    CHECK(files.ap(c.unharmed) > 0.49);
    CHECK_ERROR(files.ap(c.harmed), c.message);
  }
  const std::string result = "found.json: result 1 (image 2): ", mask = "\"segmentation\": " + runs;
  const Case in_results[] = {
      {runs, "[]", bbox, segm,
       result + "segmentation: a run-length mask {\"size\", \"counts\"} is expected, not a list"},
      {runs, "null", bbox, "boundary-segm", result + "segmentation: a run-length mask"},
      {runs, "\"\"", bbox, "tide-segm", result + "segmentation: a run-length mask"},
      {runs, R"({"size": [50, 50], "counts": [2]})", bbox, segm, result + "segmentation: rle: 1 runs add up to 2"},
      {runs, R"({"size": [40, 50], "counts": [2000]})", bbox, segm, result + "its mask is 40 x 50"},
      {box + ", " + mask, "\"bbox\": [1, 2, 3], " + mask, segm, bbox,
       result + "its \"bbox\" is not [x, y, width, height]"},
      {box + ", " + mask, "\"bbox\": [1, 2, NaN, 4], " + mask, "tide-segm", "tide-bbox",
       result + "its \"bbox\" is not"},
  };
  for (const Case& c : in_results) {
    CAPTURE(c.to);
    Fields files;
    Fields::change(files.found, c.from, c.to);
    CHECK(files.ap(c.unharmed) > 0.49);
    CHECK_ERROR(files.ap(c.harmed), c.message);
  }
}

TEST_CASE("score: an image without objects, detections or masks of polygons needs no size") {
  const std::string size = ", \"height\": 50, \"width\": 50";
  for (const char* metric : {"coco-segm", "coco-bbox", "boundary-segm", "tide-segm"}) {
    CAPTURE(std::string(metric));
    Fields files;
    Fields::change(files.truth, "\"images\": [",
                   "\"images\": [{\"id\": 3, \"height\": -1, \"width\": -1}, {\"id\": 4}, ");
    Fields::change(files.truth, "{\"id\": 2" + size, "{\"id\": 2");  // its object and its detection are runs
    CHECK(files.ap(metric) > 0.49);
  }
  Fields files;
  Fields::change(files.truth, "\"images\": [", "\"images\": [{\"id\": 3}, ");
  Fields::change(files.found, "\"image_id\": 1", "\"image_id\": 3");
  CHECK(files.ap("coco-bbox") < 0.9);
  CHECK_ERROR(files.ap("coco-segm"),
              "found.json: result 0 (image 3): to make a mask of its box, \"height\" and \"width\"");
}

TEST_CASE("score: crowds may be marked with true, and files may begin with a byte-order mark") {
  Fields files;
  Fields::change(files.truth, "\"iscrowd\": 0", "\"iscrowd\": true");
  Fields::change(files.truth, "\"iscrowd\": 0", "\"iscrowd\": false");
  files.truth.insert(0, "\xef\xbb\xbf");
  files.found.insert(0, "\xef\xbb\xbf");
  CHECK(files.ap("coco-bbox") == doctest::Approx(1));
  Fields::change(files.truth, "\"iscrowd\": false", "\"iscrowd\": true");
  CHECK(files.ap("coco-bbox") == -1);
}

TEST_CASE("score: areas from boxes judge the boxes of detections with masks") {
  Fields files;
  Fields::change(files.found, "\"bbox\": [10, 10, 20, 20], \"segmentation\"", "\"bbox\": [NaN], \"segmentation\"");
  CHECK(files.ap("coco-segm") > 0.49);
  ScoreRequest request{files.folder / "truth.json", files.folder / "found.json"};
  request.areas_from_boxes = true;
  CHECK_ERROR(score_results("coco-segm", request), "found.json: result 1 (image 2): its \"bbox\" is not");
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
