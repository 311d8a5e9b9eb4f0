#include "data/overlap.h"

#include <doctest/doctest.h>

#include "tests/data/mask_cases.h"
#include "tests/support/check_error.h"

namespace tessera {
namespace {

TEST_CASE("overlap: masks by hand") {
  const Rle left{2, 4, {0, 4, 4}}, middle{2, 4, {2, 4, 2}}, right{2, 4, {4, 4}}, nothing{2, 4, {8}};
  CHECK(mask_overlap(left, middle, false) == 2.0 / 6.0);
  CHECK(mask_overlap(left, middle, true) == 2.0 / 4.0);
  CHECK(mask_overlap(left, left, false) == 1);
  CHECK(mask_overlap(left, right, false) == 0);
  CHECK(mask_overlap(nothing, nothing, false) == 0);
  CHECK(mask_overlap(nothing, left, true) == 0);
}

TEST_CASE("overlap: all pairs of masks equal the COCO mask API's, empty inner runs included") {
  const nlohmann::json& cases = test::mask_cases();
  for (const nlohmann::json& group : cases["iou_groups"]) {
    std::vector<Rle> masks;
    for (const size_t i : group["cases"].get<std::vector<size_t>>()) masks.push_back(test::mask_of(cases["cases"][i]));
    const std::vector<RleView> views(masks.begin(), masks.end());
    const size_t n = masks.size();
    for (const auto& [key, crowd] : {std::pair("iou", std::vector<u8>(n, 0)),
                                     {"iou_crowd", std::vector<u8>(n, 1)},
                                     {"iou_odd_crowd", group["crowd"].get<std::vector<u8>>()}}) {
      INFO(key);
      const std::vector<double> overlaps = mask_overlaps(views, views, crowd);
      for (size_t d = 0; d < n; ++d) {
        for (size_t g = 0; g < n; ++g) CHECK(overlaps[d * n + g] == group[key][d][g].get<double>());
      }
    }
  }
}

TEST_CASE("overlap: all pairs of boxes equal the COCO mask API's") {
  const nlohmann::json& cases = test::mask_cases()["boxes"];
  const auto boxes = cases["boxes"].get<std::vector<XywhBox>>();
  for (const u8 crowd : {0, 1}) {
    const std::vector<double> overlaps = box_overlaps(boxes, boxes, std::vector<u8>(boxes.size(), crowd));
    for (size_t i = 0; i < overlaps.size(); ++i)
      CHECK(overlaps[i] == cases[crowd ? "iou_crowd" : "iou"][i / boxes.size()][i % boxes.size()].get<double>());
  }
}

TEST_CASE("overlap: masks of different sizes give -1 when their boxes meet, else 0") {
  const Rle small = rasterise_box({0, 0, 5, 5}, 10, 10), large = rasterise_box({2, 2, 9, 9}, 20, 20);
  CHECK(mask_overlap(small, large, false) == -1);
  CHECK(mask_overlap(small, rasterise_box({8, 8, 9, 9}, 20, 20), false) == 0);
}

TEST_CASE("overlap: runs that do not add up and missing flags are errors") {
  const Rle good{2, 2, {0, 4}}, bad{2, 2, {0, 9}};
  CHECK_ERROR(mask_overlap(good, bad, false), "add up to 9");
  CHECK_ERROR(box_overlaps(std::vector<XywhBox>(1), std::vector<XywhBox>(2), std::vector<u8>(1)), "1 crowd flags");
}

}  // namespace
}  // namespace tessera
