#include "data/lvis.h"

#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/rasterise.h"
#include "eval/average_precision.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"

namespace tessera {
namespace {

// Two images of 100 x 100. A "frequent" object in the first, a "common" and a "rare" one in the second; the common
// category was looked for in the first image and is not there.
CocoDataset two_images() {
  CocoDataset dataset;
  dataset.name = "lvis";
  dataset.images = {{1, "a", 100, 100, std::vector<i64>{2}, {}}, {2, "b", 100, 100, std::vector<i64>{}, {}}};
  dataset.categories = {
      {1, "person", "person.n.01", 'f'}, {2, "cow", "beef.n.01", 'c'}, {3, "acorn", "acorn.n.01", 'r'}};
  for (const auto& [id, image, category] : {std::array<i64, 3>{1, 1, 1}, {2, 2, 2}, {3, 2, 3}}) {
    const Polygons square = {{10, 10, 30, 10, 30, 30, 10, 30}};
    dataset.annotations.push_back({id, image, category, XywhBox{10, 10, 20, 20}, 400, false, square});
  }
  index_coco(dataset);
  return dataset;
}

Detection box(i64 image, i64 category, double score, double x = 10) {
  return {image, category, score, XywhBox{x, 10, 20, 20}, std::nullopt};
}

double stat(const ApResult& result, const std::string& name) {
  for (size_t i = 0; i < result.stats.size(); ++i)
    if (result.stat_rules[i].name == name) return result.stats[i];
  FAIL("no figure " << name);
  return 0;
}

TEST_CASE("lvis: a detection counts only where its category was looked for") {
  const ApResult result = evaluate_lvis(
      two_images(), std::vector{box(1, 1, 0.9), box(1, 2, 0.8), box(1, 3, 0.7), box(2, 2, 0.5), box(2, 3, 0.5)},
      ApTask::kBbox);
  CHECK(result.detections == 4);  // the rare one in the first image is dropped
  CHECK(stat(result, "APf") == doctest::Approx(1));
  CHECK(stat(result, "APc") == doctest::Approx(0.5));  // wrong at 0.8 in the first image, right at 0.5
  CHECK(stat(result, "APr") == doctest::Approx(1));
  CHECK(stat(result, "AP") == doctest::Approx(2.5 / 3));
  CHECK(stat(result, "AR@300") == 1);
  CHECK(stat(result, "ARs@300") == 1);
  CHECK(stat(result, "APm") == -1);
}

TEST_CASE("lvis: where a category is not marked completely its detections are never wrong") {
  CocoDataset dataset = two_images();
  const std::vector detections = {box(1, 1, 0.9, 60), box(1, 1, 0.5)};
  CHECK(evaluate_lvis(dataset, detections, ApTask::kBbox).per_category[0].ap == doctest::Approx(0.5));
  dataset.images[0].not_exhaustive_category_ids = {1};
  CHECK(evaluate_lvis(dataset, detections, ApTask::kBbox).per_category[0].ap == doctest::Approx(1));
}

TEST_CASE("lvis: the 300 best of an image count, whatever their category") {
  std::vector detections = {box(1, 1, 0.1)};
  for (int i = 0; i < 299; ++i) detections.push_back(box(1, i % 2 ? 3 : 77, 0.9, 60));
  CHECK(evaluate_lvis(two_images(), detections, ApTask::kBbox).per_category[0].ap == doctest::Approx(1));
  detections.push_back(box(1, 3, 0.1, 60));  // as good, but later in the file
  CHECK(evaluate_lvis(two_images(), detections, ApTask::kBbox).per_category[0].ap == doctest::Approx(1));
  detections.push_back(box(1, 3, 0.2, 60));
  CHECK(evaluate_lvis(two_images(), detections, ApTask::kBbox).per_category[0].ap == 0);
  detections.push_back(box(2, 2, 0.1));  // another image
  CHECK(evaluate_lvis(two_images(), detections, ApTask::kBbox).per_category[1].ap == doctest::Approx(1));
}

TEST_CASE("lvis: objects and detections of no area do not exist, for COCO they do") {
  CocoDataset dataset = two_images();
  dataset.annotations.push_back({4, 1, 1, XywhBox{50, 50, 0, 0}, 0, false, dataset.annotations[0].segmentation});
  index_coco(dataset);
  Detection empty{1, 1, 0.95, std::nullopt, Rle{100, 100, {10000}}};
  Detection right{1, 1, 0.9, std::nullopt, rasterise_box({10, 10, 20, 20}, 100, 100)};
  const std::vector detections = {empty, right};
  CHECK(evaluate_lvis(dataset, detections, ApTask::kSegm).per_category[0].ap == doctest::Approx(1));
  CHECK(evaluate_coco(dataset, detections, ApTask::kSegm).per_category[0].ap < 0.6);
}

TEST_CASE("lvis: \"ignore\" is honoured, crowds are ordinary objects but for boundaries") {
  CocoDataset dataset = two_images();
  dataset.annotations.push_back(
      {4, 1, 1, XywhBox{50, 50, 40, 40}, 1600, false, Polygons{{50, 50, 90, 50, 90, 90, 50, 90}}});
  index_coco(dataset);
  const Detection right{1, 1, 0.9, std::nullopt, rasterise_box({10, 10, 20, 20}, 100, 100)};
  const auto ap50 = [&](auto evaluate, ApTask task) {
    return evaluate(dataset, std::vector{right}, task, ApOptions{}).per_category[0].ap50;
  };
  const double half = 51.0 / 101;  // one of two found
  dataset.annotations[3].ignore = true;
  CHECK(ap50(evaluate_lvis, ApTask::kSegm) == doctest::Approx(1));
  CHECK(ap50(evaluate_lvis, ApTask::kBoundary) == doctest::Approx(1));
  CHECK(ap50(evaluate_coco, ApTask::kSegm) == doctest::Approx(half));
  CHECK(ap50(evaluate_coco, ApTask::kBoundary) == doctest::Approx(1));
  dataset.annotations[3].ignore = false;
  dataset.annotations[3].iscrowd = true;
  CHECK(ap50(evaluate_lvis, ApTask::kSegm) == doctest::Approx(half));
  CHECK(ap50(evaluate_lvis, ApTask::kBoundary) == doctest::Approx(1));
  CHECK(ap50(evaluate_coco, ApTask::kSegm) == doctest::Approx(1));
}

TEST_CASE("lvis: an area of 1024 is small and medium, for boundaries only medium") {
  CocoDataset dataset = two_images();
  dataset.annotations[0].area = 1024;
  dataset.annotations[1].area = dataset.annotations[2].area = 5000;
  CHECK(stat(evaluate_lvis(dataset, {}, ApTask::kSegm), "APs") == 0);
  CHECK(stat(evaluate_lvis(dataset, {}, ApTask::kBoundary), "APs") == -1);
  CHECK(stat(evaluate_lvis(dataset, {}, ApTask::kBoundary), "APm") == 0);
}

TEST_CASE("lvis: files that are not LVIS's are errors, for boundaries nothing is dropped without the lists") {
  CocoDataset dataset = two_images();
  dataset.images[0].neg_category_ids.reset();
  CHECK_ERROR(evaluate_lvis(dataset, {}, ApTask::kBbox), "lvis: image 1 has no \"neg_category_ids\"");
  const std::vector detections = {Detection{1, 3, 0.7, std::nullopt, Rle{100, 100, {0, 400, 9600}}}};
  CHECK(evaluate_lvis(two_images(), detections, ApTask::kBoundary).detections == 0);
  CHECK(evaluate_lvis(dataset, detections, ApTask::kBoundary).detections == 1);
  dataset.categories[1].frequency = 0;
  CHECK_ERROR(evaluate_lvis(dataset, {}, ApTask::kBoundary), "lvis: category 2 has no \"frequency\"");
  CHECK_ERROR(evaluate_lvis(two_images(), {}, ApTask::kBbox, {.class_agnostic = true}), "no class-agnostic");
}

TEST_CASE("lvis: seen with COCO's categories a data set keeps what COCO knows and what is mentioned") {
  CocoDataset dataset = two_images();
  dataset.categories.push_back({4, "zebra", "zebra.n.01", 'f'});  // mentioned nowhere
  dataset.categories.push_back({5, "banana", "banana.n.02", 'f'});
  dataset.images[1].neg_category_ids = {3, 5};
  dataset.images[1].not_exhaustive_category_ids = {2, 3};
  dataset.annotations = {dataset.annotations[2], dataset.annotations[1], dataset.annotations[0]};
  index_coco(dataset);
  const CocoDataset coco = with_coco_categories(dataset);
  REQUIRE(coco.categories.size() == 3);
  CHECK(coco.categories[0].id == 1);
  CHECK(coco.categories[1].id == 21);
  CHECK(coco.categories[1].name == "cow");
  CHECK(coco.categories[2].id == 52);
  CHECK(coco.images[0].neg_category_ids == std::vector<i64>{21});
  CHECK(coco.images[1].neg_category_ids == std::vector<i64>{52});
  CHECK(coco.images[1].not_exhaustive_category_ids == std::vector<i64>{21});
  REQUIRE(coco.annotations.size() == 2);
  CHECK(coco.annotations[0].id == 1);
  CHECK(coco.annotations[0].category_id == 21);
  CHECK(coco.annotations[1].category_id == 1);
  CHECK(is_lvis(coco));
  for (CocoCategory& category : dataset.categories) category.synset.clear();
  CHECK_ERROR(with_coco_categories(dataset), "lvis: no category has the WordNet synset of a COCO category");
}

TEST_CASE("lvis: AP* and its boundary variant on a hundred images equal the official tools' in every digit") {
  const auto cases = nlohmann::json::parse(std::ifstream(test::source_dir() / "tests/eval/lvis_cases.json"));
  CocoDataset dataset;
  for (const auto& image : cases["images"])
    dataset.images.push_back({image[0].get<i64>(), "", image[1].get<i64>(), image[2].get<i64>(),
                              image[3].get<std::vector<i64>>(), image[4].get<std::vector<i64>>()});
  for (const auto& category : cases["categories"])
    dataset.categories.push_back({category[0].get<i64>(), "", "", category[1].get<std::string>()[0]});
  std::map<i64, const CocoImage*> images;
  for (const CocoImage& image : dataset.images) images[image.id] = &image;
  const auto mask = [&](i64 image, const std::string& counts) {
    return rle_from_string(counts, images[image]->height, images[image]->width);
  };
  for (const auto& a : cases["annotations"])
    dataset.annotations.push_back({a[0].get<i64>(),
                                   a[1].get<i64>(),
                                   a[2].get<i64>(),
                                   {},
                                   a[3].get<double>(),
                                   false,
                                   mask(a[1].get<i64>(), a[4].get<std::string>())});
  index_coco(dataset);
  std::vector<Detection> detections;
  for (const auto& d : cases["detections"])
    detections.push_back({d[0].get<i64>(), d[1].get<i64>(), d[2].get<double>(), std::nullopt,
                          mask(d[0].get<i64>(), d[3].get<std::string>())});
  for (const ApTask task : {ApTask::kSegm, ApTask::kBoundary}) {
    const ApResult result = evaluate_lvis(dataset, detections, task);
    const auto& expected = cases[name_of(task)];
    CHECK(expected["results"].size() == result.stats.size());
    for (const auto& [name, value] : expected["results"].items()) {
      INFO(name_of(task), " ", name);
      CHECK(stat(result, name) == value.get<double>());
    }
    std::map<i64, ApCategory> categories;
    for (const ApCategory& category : result.per_category) categories[category.id] = category;
    for (const auto& category : expected["per_category"]) {
      const ApCategory& ours = categories.at(category[0].get<i64>());
      CHECK(ours.ap == category[1].get<double>());
      CHECK(ours.ap50 == category[2].get<double>());
      CHECK(ours.ar == category[3].get<double>());
    }
  }
}

}  // namespace
}  // namespace tessera
