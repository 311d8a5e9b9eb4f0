#include "data/split.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tensor/random.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {
namespace {

// `pictures` pictures, six of each scene in a row, "scene3_02.png", of up to four objects of four classes; those of a
// later class are rarer.
CocoDataset scenes(i64 pictures) {
  CocoDataset dataset;
  dataset.name = "all.json";
  for (i64 k = 1; k <= 4; ++k) dataset.categories.push_back({k, "class " + std::to_string(k)});
  Random random(7);
  for (i64 id = 0; id < pictures; ++id) {
    dataset.images.push_back({id, fmt::format("scene{}_{:02}.png", id / 6, id % 6), 10, 10});
    for (i64 k = random.integer(0, 4); k > 0; --k) {
      const i64 category = std::min(random.integer(1, 4), random.integer(1, 4));
      dataset.annotations.push_back({.id = std::ssize(dataset.annotations),
                                     .image_id = id,
                                     .category_id = category,
                                     .segmentation = Polygons{{1, 1, 5, 1, 5, 5}}});
    }
  }
  index_coco(dataset);
  return dataset;
}

// The share of the part in the objects of each class, and in the pictures.
std::vector<double> shares_of(const CocoDataset& dataset, const Split& split, size_t part) {
  std::vector<double> all(dataset.categories.size()), of_part = all;
  for (const CocoAnnotation& annotation : dataset.annotations) {
    const size_t label = static_cast<size_t>(dataset.class_index.at(annotation.category_id));
    ++all[label];
    if (split.part_of[static_cast<size_t>(dataset.image_index.at(annotation.image_id))] == part) ++of_part[label];
  }
  for (size_t label = 0; label < all.size(); ++label) of_part[label] /= all[label];
  of_part.push_back(static_cast<double>(std::ranges::count(split.part_of, part)) /
                    static_cast<double>(dataset.images.size()));
  return of_part;
}

}  // namespace

TEST_CASE("split: every class and the pictures have their shares, by seed") {
  const CocoDataset dataset = scenes(600);
  const Split split = split_data_set(dataset, {.val = 0.2, .test = 0.1});
  CHECK(split.groups == 600);
  for (size_t part = 0; part < kSplitParts; ++part)
    for (const double share : shares_of(dataset, split, part))
      CHECK(share == doctest::Approx(std::array{0.7, 0.2, 0.1}[part]).epsilon(0.1));
  CHECK(split_data_set(dataset, {.val = 0.2, .test = 0.1}).part_of == split.part_of);
  CHECK(split_data_set(dataset, {.val = 0.2, .test = 0.1, .seed = 2}).part_of != split.part_of);
}

TEST_CASE("split: pictures for which the expression's group is the same stay together") {
  const CocoDataset dataset = scenes(600);
  const Split split = split_data_set(dataset, {.group = "(.*)_"});
  CHECK(split.groups == 100);
  for (size_t i = 0; i < dataset.images.size(); ++i) CHECK(split.part_of[i] == split.part_of[i / 6 * 6]);
  for (const double share : shares_of(dataset, split, 1)) CHECK(share == doctest::Approx(0.2).epsilon(0.25));
  for (u64 seed = 1; seed <= 5; ++seed) {  // no part is empty
    const Split pair = split_data_set(scenes(12), {.val = 0.01, .seed = seed, .group = "(.*)_"});
    CHECK(std::ranges::count(pair.part_of, size_t{1}) == 6);
  }
  CHECK(split_data_set(dataset, {.group = "scene[0-9]+"}).part_of == split.part_of);  // what matches, without a group
}

TEST_CASE("split: of three objects of a class one is to validate on, of two none, and crowds are no objects") {
  CocoDataset dataset = scenes(60);
  dataset.categories.push_back({9, "rare"});
  dataset.categories.push_back({10, "rarer"});
  const auto add = [&](i64 image, i64 category, bool crowd) {
    dataset.annotations.push_back({.id = std::ssize(dataset.annotations),
                                   .image_id = image,
                                   .category_id = category,
                                   .iscrowd = crowd,
                                   .segmentation = {}});
  };
  for (i64 image : {3, 20, 50}) add(image, 9, false);
  for (i64 image : {4, 51, 52}) add(image, 10, image == 52);
  index_coco(dataset);
  for (u64 seed = 1; seed <= 10; ++seed) {
    const Split split = split_data_set(dataset, {.seed = seed});
    CHECK(split.part_of[3] + split.part_of[20] + split.part_of[50] == 1);
    CHECK(split.part_of[4] + split.part_of[51] == 0);
  }
}

TEST_CASE("split: impossible shares, expressions and parts are errors") {
  const CocoDataset dataset = scenes(12);
  for (const SplitConfig& config : {SplitConfig{.val = 0}, {.val = -0.1, .test = 0.3}, {.val = 0.5, .test = 0.5}})
    CHECK_ERROR(split_data_set(dataset, config), "together they are between 0 and 1");
  CHECK_ERROR(split_data_set(dataset, {.group = "(.*"}), "\"(.*\" is no regular expression: ");
  CHECK_ERROR(split_data_set(dataset, {.group = "(scene1)_"}),
              "all.json: \"(scene1)_\" is not found in the names of 6 of 12 pictures, whose group is unknown: "
              "scene0_00.png, scene0_01.png, scene0_02.png and 3 more");
  CHECK_ERROR(split_data_set(dataset, {.group = "scene"}),
              "all.json: 12 pictures in 1 groups cannot be split in 2 parts");
}

TEST_CASE("split: a name that no file can have is refused, before a regular expression needs a stack for it") {
  CocoDataset dataset = scenes(12);
  dataset.images[3].file_name = std::string(60'000, 'a') + "_1.png";
  CHECK_ERROR(index_coco(dataset), "all.json: image 3: its file_name has 60006 characters");
}

TEST_CASE("split: files hold their entries as they stood, and everything else of the file") {
  const test::TemporaryFolder folder;
  write_file(folder / "all.json", R"({ "info" : {"by": "me"} , "version":1.50,
    "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 9, "mine": [1, {"x": null}] } ,
               {"id": 2, "file_name": "b.png", "height": 9, "width": 9}],
    "annotations": [ {"id": 5, "image_id": 2, "category_id": 3, "bbox": [1.0, 2, 3, 4e0]},
                     {"id": 6, "image_id": 1, "category_id": 3, "score": 0.10}
                   ], "empty": [], "categories": [{"id": 3, "name": "ab\"c", "supercategory": "d"}] }
)");
  const CocoDataset dataset = load_coco(folder / "all.json");
  const auto texts = split_file(folder / "all.json", dataset, {.part_of = {0, 1}, .groups = 2});
  CHECK(texts[0] ==
        "{\"info\":{\"by\": \"me\"},\n\"version\":1.50,\n\"images\":[\n"
        "{\"id\": 1, \"file_name\": \"a.png\", \"height\": 9, \"width\": 9, \"mine\": [1, {\"x\": null}] }],\n"
        "\"annotations\":[\n{\"id\": 6, \"image_id\": 1, \"category_id\": 3, \"score\": 0.10}],\n\"empty\":[],\n"
        "\"categories\":[{\"id\": 3, \"name\": \"ab\\\"c\", \"supercategory\": \"d\"}]}\n");
  const nlohmann::json val = nlohmann::json::parse(texts[1]), none = nlohmann::json::parse(texts[2]);
  CHECK(val["images"].size() == 1);
  CHECK(val["annotations"][0]["id"] == 5);
  CHECK(none["images"].empty());
  CHECK(none["annotations"].empty());
  CHECK(none["info"]["by"] == "me");

  write_file(folder / "twice.json", R"({"images": [], "images": [], "annotations": [], "categories": []})");
  CHECK_ERROR(split_file(folder / "twice.json", load_coco(folder / "twice.json"), {}), "images: occurs twice");
}

}  // namespace tessera
