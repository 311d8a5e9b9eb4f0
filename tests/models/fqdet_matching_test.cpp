// Anchors, and which of them learns which object.
#include <doctest/doctest.h>

#include <vector>

#include "models/fqdet/boxes.h"
#include "models/fqdet/matching.h"

using namespace tessera;
using namespace tessera::fqdet;

namespace {

std::vector<float> floats(const Tensor& x) {
  return {x.span<float>().begin(), x.span<float>().end()};
}
std::vector<i64> ids(const Tensor& x) {
  return {x.span<i64>().begin(), x.span<i64>().end()};
}

Tensor boxes_of(const std::vector<float>& corners) {
  return Tensor::from(corners, {static_cast<i64>(corners.size()) / 4, 4});
}

GroundTruth truth_of(const std::vector<float>& corners, const std::vector<i64>& picture) {
  return {boxes_of(corners), {}, Tensor::from(picture)};
}

}  // namespace

TEST_CASE("fqdet anchors: every cell has all sizes in all ratios, and levels, rows, columns, boxes follow each other") {
  AnchorGrid grid({.sizes = 2, .ratios = {1, 4}}, {{64, 4}, {64, 8}});
  CHECK(grid.kinds() == 4);
  const Tensor anchors = grid({{1, 2}, {1, 1}}, {});
  REQUIRE(anchors.shape() == Shape{12, 4});
  const Tensor centred = centre_form(anchors);
  const auto check = [&](i64 a, double x, double y, double w, double h) {
    CAPTURE(a);
    const float* box = centred.data<float>() + 4 * a;
    CHECK(box[0] == doctest::Approx(x));
    CHECK(box[1] == doctest::Approx(y));
    CHECK(box[2] == doctest::Approx(w));
    CHECK(box[3] == doctest::Approx(h));
  };
  check(0, 2, 2, 16, 16);
  check(1, 2, 2, 8, 32);
  check(2, 2, 2, 22.627417, 22.627417);
  check(3, 2, 2, 11.313708, 45.254834);
  check(4, 6, 2, 16, 16);
  check(8, 4, 4, 32, 32);
  CHECK(grid({{1, 2}, {1, 1}}, {}).same_memory(anchors));
  CHECK(grid({{2, 2}, {1, 1}}, {}).dim(0) == 20);
}

TEST_CASE("fqdet boxes: decoding undoes encoding, and the sizes of untrained deltas stay finite") {
  const Tensor anchors = boxes_of({0, 0, 8, 4, 10, 20, 14, 40}), boxes = boxes_of({1, 2, 7, 9, 9, 25, 19, 30});
  const Tensor deltas = encode(boxes, anchors);
  CHECK(floats(deltas)[0] == 0.0f);
  CHECK(floats(deltas)[1] == doctest::Approx(3.5 / 4));
  CHECK(floats(deltas)[3] == doctest::Approx(std::log(7.0 / 4)));
  const Tensor back = decode(Var(deltas), anchors).value();
  for (size_t i = 0; i < 8; ++i) CHECK(floats(back)[i] == doctest::Approx(floats(boxes)[i]));
  const Tensor far = decode(Var(Tensor::full({2, 4}, 1e4)), anchors).value();
  for (const float x : far.span<float>()) CHECK(std::isfinite(x));
}

TEST_CASE(
    "fqdet matching: an object's best anchors come first, of equals the lower one, however many objects there are") {
  // Anchors 0 and 2 hold the object alike; 1 meets half of it; 3 nothing.
  const Tensor anchors = boxes_of({0, 0, 4, 4, 0, 0, 2, 1, 0, 0, 4, 4, 8, 8, 9, 9});
  CHECK(ids(ranked_anchors(anchors, boxes_of({0, 0, 2, 2}), 4)) == std::vector<i64>{1, 0, 2, 3});
  CHECK(ranked_anchors(anchors, boxes_of({0, 0, 2, 2}), 15).shape() == Shape{1, 4});
  CHECK(ranked_anchors(anchors, Tensor::empty({0, 4}), 15).shape() == Shape{0, 4});
  std::vector<float> many;
  for (int t = 0; t < 40; ++t) many.insert(many.end(), {8, 8, 9, 9 + static_cast<float>(t)});
  const Tensor ranked = ranked_anchors(anchors, boxes_of(many), 1);
  for (const i64 anchor : ids(ranked)) CHECK(anchor == 3);
}

TEST_CASE("fqdet matching: the selection learns the first ranks of every object, in its picture") {
  const GroundTruth truth = truth_of({0, 0, 1, 1, 0, 0, 1, 1}, {1, 1});
  const Tensor ranked = Tensor::from(std::vector<i64>{3, 1, 0, 1, 2, 0}, {2, 3});
  CHECK(floats(selection_targets(ranked, truth, 2, 4, 2)) == std::vector<float>{0, 0, 0, 0, 0, 1, 1, 1});
  const GroundTruth nothing{Tensor::empty({0, 4}), {}, Tensor::empty({0}, DType::kI64)};
  const Tensor none = Tensor::empty({0, 3}, DType::kI64);
  CHECK(floats(selection_targets(none, nothing, 1, 3, 2)) == std::vector<float>{0, 0, 0});
}

TEST_CASE("fqdet matching: a query learns the object that ranks it best; the cut is at query_ranks") {
  const GroundTruth truth = truth_of({0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1}, {0, 0, 1});
  const Tensor ranked = Tensor::from(std::vector<i64>{5, 6, 7, 6, 8, 5, 5, 7, 9}, {3, 3});
  const Tensor selected = Tensor::from(std::vector<i64>{7, 6, 5, 1, 8, 9, 7, 5}, {2, 4});
  const QueryMatches all = match_queries(ranked, truth, 15, selected);
  CHECK(ids(all.owner) == std::vector<i64>{0, 1, 0, 3, 3, 2, 2, 2});
  CHECK(ids(all.matches.query) == std::vector<i64>{0, 1, 2, 5, 6, 7});
  CHECK(ids(all.matches.object) == std::vector<i64>{0, 1, 0, 2, 2, 2});
  CHECK(ids(match_queries(ranked, truth, 1, selected).matches.query) == std::vector<i64>{1, 2, 7});
}
