#include "data/cells.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace tessera {
namespace {

using Box = std::array<float, 4>;
constexpr ImageSize kInput{96, 96};

TEST_CASE("cells: the larger of two objects gets their cell, the other the nearest free one; a crowd's last none") {
  const Box small{0.4F, 0.4F, 0.5F, 0.5F}, large{0.35F, 0.35F, 0.65F, 0.65F};
  const std::vector<Box> two = {small, large};
  CHECK(assign_cells({two, {10, 90}}, {3, 3}, kInput) == std::vector<i64>{1, 4});
  CHECK(assign_cells({two, {5, 5}}, {3, 3}, kInput) == std::vector<i64>{4, 1});  // the first of equals
  CHECK(assign_cells({two, {5, 5}}, {1, 1}, kInput) == std::vector<i64>{0, kNoCell});
  CHECK(assign_cells({}, {3, 3}, kInput).empty());
  CHECK(assign_cells({{Box{0.8F, 0.9F, 1, 1}}, {1}}, {3, 3}, kInput) == std::vector<i64>{8});
  const std::vector<i64> cells = assign_cells({std::vector<Box>(7, large), std::vector<i64>(7, 1)}, {2, 3}, kInput);
  CHECK(cells.back() == kNoCell);  // six cells, all around the centre's
  CHECK(std::ranges::count(cells, kNoCell) == 1);
}

TEST_CASE("cells: the nearest cell is the nearest in pixels") {
  const PlacedObjects objects{{Box{0, 0, 1, 1}, Box{0.5F, 0.5F, 0.6F, 0.54F}}, {9, 1}};  // centres (.5, .5), (.55, .52)
  CHECK(assign_cells(objects, {3, 3}, {96, 96}) == std::vector<i64>{4, 7});
  CHECK(assign_cells(objects, {3, 3}, {300, 96}) == std::vector<i64>{4, 5});
}

TEST_CASE("cells: objects with the cell of their centre and with any cell are counted") {
  const Box middle{0.4F, 0.4F, 0.6F, 0.6F}, corner{0, 0, 0.1F, 0.1F};
  const PlacedObjects objects{{middle, middle, middle, corner}, {4, 3, 2, 1}};
  const auto check = [&](ImageSize grid, i64 of_centre, i64 any) {
    const CellsTaken taken = cells_taken(objects, grid, kInput);
    CHECK(taken.of_centre == of_centre);
    CHECK(taken.any == any);
  };
  check({1, 1}, 1, 1);
  check({1, 2}, 2, 2);
  check({3, 3}, 2, 4);
}

TEST_CASE("cells: an object's place is a fraction of the input, its area that of its mask") {
  Targets targets;
  targets.masks = Tensor::zeros({1, 20, 30}, DType::kU8);
  std::fill_n(targets.masks.data<u8>(), 7, u8{1});
  targets.boxes = Tensor::from(std::vector<float>{3, 4, 15, 12}, {1, 4});
  targets.annotations = {1};
  const PlacedObjects objects = placed_objects(targets, {40, 60});  // the picture lies in a letterbox
  CHECK(objects.areas == std::vector<i64>{7});
  const Box want{0.1F, 0.05F, 0.3F, 0.25F};
  for (size_t k = 0; k < 4; ++k) CHECK(objects.boxes[0][k] == doctest::Approx(want[k]));
}

}  // namespace
}  // namespace tessera
