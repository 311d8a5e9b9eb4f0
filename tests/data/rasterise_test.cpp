#include "data/rasterise.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "tests/data/mask_cases.h"
#include "tests/support/check_error.h"

namespace tessera {
namespace {

TEST_CASE("rasterise: a rectangle on pixel borders covers exactly its pixels") {
  const Tensor mask = decode_rle(rasterise_box({1, 2, 3, 1}, 4, 6));
  const std::vector<u8> expected = {0, 0, 0, 0, 0, 0,  //
                                    0, 0, 0, 0, 0, 0,  //
                                    0, 1, 1, 1, 0, 0,  //
                                    0, 0, 0, 0, 0, 0};
  CHECK(std::equal(expected.begin(), expected.end(), mask.span<u8>().begin()));
}

TEST_CASE("rasterise: polygons equal the COCO mask API's pixel for pixel") {
  size_t polygons = 0;
  for (const nlohmann::json& item : test::mask_cases()["cases"]) {
    if (!item["segmentation"].is_array()) continue;
    INFO(item["name"].get<std::string>());
    std::vector<Rle> parts;
    for (const auto& part : item["segmentation"].get<std::vector<std::vector<double>>>()) {
      parts.push_back(rasterise_polygon(part, item["h"], item["w"]));
      CHECK(rle_to_string(parts.back()) == item["part_counts"][parts.size() - 1].get<std::string>());
    }
    CHECK(rle_to_string(test::mask_of(item)) == item["counts"].get<std::string>());
    CHECK(rle_to_string(rle_merge(parts, true)) == item["intersection_counts"].get<std::string>());
    ++polygons;
  }
  CHECK(polygons > 50);
}

TEST_CASE("rasterise: boxes equal the COCO mask API's") {
  const nlohmann::json& boxes = test::mask_cases()["boxes"];
  for (size_t i = 0; i < boxes["boxes"].size(); ++i) {
    const Rle mask = rasterise_box(boxes["boxes"][i].get<XywhBox>(), boxes["h"], boxes["w"]);
    CHECK(rle_to_string(mask) == boxes["counts"][i].get<std::string>());
  }
}

TEST_CASE("rasterise: orientation and the starting point do not matter, what lies outside is cut off") {
  const std::vector<double> outline = {-40, 3.3, 12.7, -9, 30, 17.2, 5, 50};
  std::vector<double> reversed, rotated(outline.begin() + 2, outline.end());
  for (size_t i = outline.size(); i > 0; i -= 2) reversed.insert(reversed.end(), {outline[i - 2], outline[i - 1]});
  rotated.insert(rotated.end(), outline.begin(), outline.begin() + 2);
  const Rle mask = rasterise_polygon(outline, 20, 24);
  CHECK(rle_area(mask) > 100);
  CHECK(rasterise_polygon(reversed, 20, 24) == mask);
  CHECK(rasterise_polygon(rotated, 20, 24) == mask);
}

TEST_CASE("rasterise: a polygon far larger than the mask takes no more time than the mask is wide") {
  const double far = 1 << 20;
  const std::vector<double> all = {-far, -far, far, -far, far, far, -far, far};
  for (int i = 0; i < 1000; ++i) CHECK(rle_area(rasterise_polygon(all, 30, 40)) == 1200);
}

TEST_CASE("rasterise: too few points in the first part are an error, in later parts they are nothing") {
  using Parts = std::vector<std::vector<double>>;
  CHECK_ERROR(rasterise_polygons(Parts{}, 20, 20), "empty");
  CHECK_ERROR(rasterise_polygons(Parts{{}}, 20, 20), "0 numbers");
  CHECK_ERROR(rasterise_polygons(Parts{{5, 5}}, 20, 20), "2 numbers");
  CHECK_ERROR(rasterise_polygons(Parts{{1, 2, 3, 4}}, 20, 20), "4 numbers");
  CHECK(rle_area(rasterise_polygons(Parts{{1, 2, 3, 4, 5}}, 20, 20)) == 0);
  const Parts square = {{2, 2, 6, 2, 6, 6, 2, 6}}, more = {square[0], {}, {1}, {1, 2}, {1, 2, 3, 4}};
  CHECK(rasterise_polygons(more, 20, 20) == rasterise_polygons(square, 20, 20));
}

TEST_CASE("rasterise: coordinates that are no place in an image are an error") {
  for (const double bad :
       {1e9, -1e300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    CHECK_ERROR(rasterise_polygon(std::vector{1.0, 2.0, bad, 3.0, 4.0, 9.0}, 20, 20), "out of range");
  CHECK_ERROR(rasterise_polygon(std::vector{1.0, 2.0, 3.0, 3.0, 4.0, 9.0}, 0, 20), "0 x 20");
}

}  // namespace
}  // namespace tessera
