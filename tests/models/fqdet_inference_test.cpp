// From logits to predictions, and from the padded batch back to the picture.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "models/fqdet/fqdet.h"

using namespace tessera;
using namespace tessera::fqdet;

namespace {

std::vector<i64> ids(const Tensor& x) {
  return {x.span<i64>().begin(), x.span<i64>().end()};
}

// One picture, its predicted boxes are the anchors. logits: K + 1 of each query.
Output output_of(const std::vector<float>& anchors, const std::vector<float>& logits, i64 pictures = 1) {
  const i64 N = static_cast<i64>(anchors.size()) / 4;
  Output output;
  output.anchors = Tensor::from(anchors, {N, 4});
  output.deltas = Var(Tensor::zeros({N, 4}));
  output.selected = Tensor::zeros({pictures, N / pictures}, DType::kI64);
  output.class_logits = Var(Tensor::from(logits, {N, static_cast<i64>(logits.size()) / N}));
  return output;
}

const std::vector<float> kTwoAlike = {0, 0, 10, 10, 0, 0, 10, 11};

}  // namespace

TEST_CASE("fqdet inference: a query is a candidate for every class, and the no-object logit is none") {
  const Output output = output_of({0, 0, 10, 10}, {1, 2, 50});
  const Predictions found = find_predictions(output, {});
  CHECK(ids(found.query) == std::vector<i64>{0, 0});
  CHECK(ids(found.classes) == std::vector<i64>{1, 0});
  CHECK(found.scores.data<float>()[0] == doctest::Approx(1 / (1 + std::exp(-2.0))));
  CHECK(found.first == std::vector<i64>{0, 2});
}

TEST_CASE("fqdet inference: a box suppresses those of its class alone") {
  const Output output = output_of(kTwoAlike, {3, -3, 0, 2, 1, 0});
  const Predictions found = find_predictions(output, {});
  CHECK(ids(found.query) == std::vector<i64>{0, 1});  // class 0 from the first, class 1 from the second
  CHECK(ids(found.classes) == std::vector<i64>{0, 1});
  const Predictions lenient = find_predictions(output, {.nms_threshold = 0.95});
  CHECK(ids(lenient.query) == std::vector<i64>{0, 1, 1, 0});
}

TEST_CASE("fqdet inference: where a query has its best class alone, that is the first of the largest") {
  const std::vector<float> apart = {0, 0, 1, 1, 5, 5, 6, 6, 0, 0, 1, 1, 5, 5, 6, 6};
  const Output output = output_of(apart, {1, 1, 9, 0, 2, 9, 3, 1, 9, 4, 5, 9}, 2);
  const Predictions found = find_predictions(output, {}, Candidates::kBestClass);
  CHECK(ids(found.query) == std::vector<i64>{1, 0, 3, 2});
  CHECK(ids(found.classes) == std::vector<i64>{1, 0, 1, 0});
  CHECK(found.first == std::vector<i64>{0, 2, 4});
  // A better box of another class suppresses none, and a class that is not the query's best is no candidate.
  const Output alike = output_of(kTwoAlike, {3, -3, 0, 2, 1, 0});
  CHECK(ids(find_predictions(alike, {}, Candidates::kBestClass).query) == std::vector<i64>{0});
  CHECK(ids(find_predictions(alike, {.candidates = 1}, Candidates::kBestClass).classes) == std::vector<i64>{0});
}

TEST_CASE("fqdet inference: the box score is a factor of the score") {
  Output output = output_of(kTwoAlike, {3, 0, 2, 0});
  output.box_scores = Var(Tensor::from(std::vector<float>{-2, 2}));
  const Predictions found = find_predictions(output, {});
  CHECK(ids(found.query) == std::vector<i64>{1});
  CHECK(found.scores.data<float>()[0] == doctest::Approx(1 / (1 + std::exp(-2.0)) / (1 + std::exp(-2.0))));
}

TEST_CASE("fqdet inference: candidates are counted before suppression, detections after it, in each picture") {
  const std::vector<float> apart = {0, 0, 1, 1, 5, 5, 6, 6, 9, 9, 10, 10, 0, 0, 1, 1, 5, 5, 6, 6, 9, 9, 10, 10};
  const std::vector<float> logits = {3, 0, 1, 0, 2, 0, 1, 0, 2, 0, 3, 0};
  CHECK(ids(find_predictions(output_of(apart, logits, 2), {.detections = 2}).query) == std::vector<i64>{0, 2, 5, 4});
  const Predictions one = find_predictions(output_of(apart, logits, 2), {.candidates = 1});
  CHECK(ids(one.query) == std::vector<i64>{0, 5});
  CHECK(one.first == std::vector<i64>{0, 1, 2});
}

TEST_CASE("fqdet inference: boxes are cut off at the picture's edge and take its size; those outside are dropped") {
  const auto box = [](float x0, float y0, float x1, float y1) {
    const float corners[] = {x0, y0, x1, y1};
    return to_original(corners, {50, 100}, {100, 400});
  };
  const XywhBox inside = box(10, 10, 20, 30).value();
  CHECK(inside[0] == 40);
  CHECK(inside[1] == 20);
  CHECK(inside[2] == 40);
  CHECK(inside[3] == 40);
  const XywhBox cut = box(-10, 40, 120, 90).value();
  CHECK(cut[0] == 0);
  CHECK(cut[2] == 400);
  CHECK(cut[1] == 80);
  CHECK(cut[3] == 20);
  CHECK(!box(100, 0, 110, 10));
  CHECK(!box(10, 10, 10, 20));
  CHECK(!box(NAN, 10, 20, 20));
  CHECK(box(0, 0, INFINITY, INFINITY).value()[2] == 400);
}
