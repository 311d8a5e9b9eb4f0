#include "data/compose.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

namespace tessera {
namespace {

struct Rectangle {
  i64 id, left, top, right, bottom;
};

// A picture of one colour with objects that are rectangles, of the class of their id's last digit.
Sample sample_of(ImageSize size, u8 colour, std::vector<Rectangle> objects) {
  Sample sample;
  const i64 count = std::ssize(objects);
  sample.image = Tensor::full({size.height, size.width, 3}, colour, DType::kU8);
  sample.image_id = colour;
  sample.targets.masks = Tensor::zeros({count, size.height, size.width}, DType::kU8);
  std::vector<i64> classes;
  std::vector<float> boxes;
  for (i64 k = 0; k < count; ++k) {
    const auto [id, left, top, right, bottom] = objects[static_cast<size_t>(k)];
    for (i64 y = top; y < bottom; ++y)
      for (i64 x = left; x < right; ++x) sample.targets.masks.data<u8>()[(k * size.height + y) * size.width + x] = 1;
    sample.targets.annotations.push_back(id);
    classes.push_back(id % 10);
    for (const i64 side : {left, top, right, bottom}) boxes.push_back(static_cast<float>(side));
  }
  sample.targets.classes = Tensor::from(classes, {count});
  sample.targets.boxes = Tensor::from(boxes, {count, 4});
  return sample;
}

i64 area(const Targets& targets, i64 k) {
  const i64 pixels = targets.masks.dim(1) * targets.masks.dim(2);
  return std::ranges::count(std::as_const(targets.masks).span<u8>().subspan(k * pixels, pixels), u8{1});
}

std::vector<float> box(const Targets& targets, i64 k) {
  const float* sides = targets.boxes.data<float>() + 4 * k;
  return {sides, sides + 4};
}

TEST_CASE("mosaic: four pictures around a point, each with its objects where it is") {
  const std::array<Sample, 4> tiles = {sample_of({2, 3}, 10, {{11, 0, 0, 2, 1}}), sample_of({2, 5}, 20, {}),
                                       sample_of({4, 3}, 30, {{32, 1, 1, 3, 4}}),
                                       sample_of({4, 5}, 40, {{43, 0, 0, 5, 4}, {44, 4, 3, 5, 4}})};
  const Sample mosaic = mosaic_of(tiles);
  CHECK(mosaic.image.shape() == Shape{6, 8, 3});
  CHECK(mosaic.image_id == 10);
  for (i64 y = 0; y < 6; ++y)
    for (i64 x = 0; x < 8; ++x) CHECK(mosaic.image.data<u8>()[(y * 8 + x) * 3] == (y < 2 ? 10 : 30) + (x < 3 ? 0 : 10));
  CHECK(mosaic.targets.annotations == std::vector<i64>{11, 32, 43, 44});
  CHECK(mosaic.targets.masks.shape() == Shape{4, 6, 8});
  CHECK(box(mosaic.targets, 1) == std::vector<float>{1, 3, 3, 6});
  CHECK(box(mosaic.targets, 3) == std::vector<float>{7, 5, 8, 6});
  CHECK(mosaic.targets.classes.data<i64>()[2] == 3);
  for (i64 k = 0; k < 4; ++k) {
    const std::vector<float> sides = box(mosaic.targets, k);
    CHECK(static_cast<float>(area(mosaic.targets, k)) == (sides[2] - sides[0]) * (sides[3] - sides[1]));
  }
}

TEST_CASE("copy-paste: pasted objects lie on top, and what they cover is cut off the others") {
  // Half of 11, all of 12 and nothing of 13 are covered; of 14 three pixels are left, which are too few.
  Sample onto = sample_of({10, 10}, 10, {{11, 2, 2, 6, 4}, {12, 4, 3, 5, 4}, {13, 8, 8, 10, 10}, {14, 3, 4, 5, 6}});
  onto.targets.boxes.data<float>()[8] = 7.5f;  // the annotated box of 13 stays as it is
  const Sample from = sample_of({4, 4}, 20, {{25, 0, 0, 1, 1}, {26, 1, 1, 4, 4}});
  CHECK(paste_objects(onto, from, std::vector<i64>{1}, 1, 3, 4) == 1);
  CHECK(onto.targets.annotations == std::vector<i64>{11, 13, 26});
  CHECK(area(onto.targets, 0) == 4);
  CHECK(box(onto.targets, 0) == std::vector<float>{2, 2, 4, 4});
  CHECK(box(onto.targets, 1) == std::vector<float>{7.5f, 8, 10, 10});
  CHECK(area(onto.targets, 2) == 9);
  CHECK(box(onto.targets, 2) == std::vector<float>{4, 2, 7, 5});
  CHECK(onto.targets.classes.data<i64>()[2] == 6);
  for (i64 y = 0; y < 10; ++y)
    for (i64 x = 0; x < 10; ++x)
      CHECK(onto.image.data<u8>()[(y * 10 + x) * 3] == (x >= 4 && x < 7 && y >= 2 && y < 5 ? 20 : 10));
}

}  // namespace
}  // namespace tessera
