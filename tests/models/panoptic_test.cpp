#include "models/roi_heads/panoptic.h"

#include <doctest/doctest.h>

#include "ops/paste_masks.h"
#include "tensor/random.h"
#include "tests/support/check_error.h"

namespace tessera::roi_heads {
namespace {

constexpr i64 kSide = 20, kThings = 2, kGrass = 2, kSky = 3;

struct Prediction {
  i64 class_index;
  float score, probability;
  i64 x, y, width, height;  // of a rectangle, outside of which the probability is 0
};

PanopticSegments merge(const std::vector<Prediction>& predictions, PanopticConfig config = {.least_area = 10}) {
  const i64 N = static_cast<i64>(predictions.size());
  Tensor probabilities = Tensor::zeros({N, kSide, kSide});
  std::vector<i64> classes;
  std::vector<float> scores;
  for (i64 n = 0; n < N; ++n) {
    const Prediction& p = predictions[static_cast<size_t>(n)];
    for (i64 y = p.y; y < p.y + p.height; ++y)
      for (i64 x = p.x; x < p.x + p.width; ++x)
        probabilities.data<float>()[(n * kSide + y) * kSide + x] = p.probability;
    classes.push_back(p.class_index);
    scores.push_back(p.score);
  }
  config.things = kThings;
  return panoptic_segments(probabilities, Tensor::from(classes, {N}), Tensor::from(scores, {N}), config);
}

std::vector<i64> predictions_of(const PanopticSegments& result) {
  std::vector<i64> predictions;
  for (const PanopticSegments::Segment& segment : result.segments) predictions.push_back(segment.prediction);
  return predictions;
}

i64 id_at(const PanopticSegments& result, i64 x, i64 y) {
  return result.ids.data<i64>()[y * kSide + x];
}

using Ids = std::vector<i64>;

TEST_CASE("panoptic segments: without a prediction, or none that is sure enough, all is void") {
  for (const auto& result : {merge({}), merge({{0, 0.3f, 0.9f, 0, 0, 10, 10}})}) {  // 0.3f is above 0.3 as a double
    CHECK(result.ids.shape() == Shape{kSide, kSide});
    CHECK(result.segments.size() <= 1);
  }
  CHECK(merge({{0, 0.29f, 0.9f, 0, 0, 10, 10}}).segments.empty());
  CHECK(panoptic_instances(merge({}), {}, {kSide, kSide}, {40, 40}).empty());
}

TEST_CASE("panoptic segments: things come by descending score, then stuff by ascending class") {
  const PanopticSegments result = merge({{kSky, 0.9f, 0.9f, 0, 0, 10, 10},
                                         {0, 0.5f, 0.9f, 10, 0, 10, 10},
                                         {kGrass, 0.4f, 0.9f, 0, 10, 10, 10},
                                         {1, 0.8f, 0.9f, 10, 10, 10, 10}});
  CHECK(predictions_of(result) == Ids{3, 1, 2, 0});
  CHECK(id_at(result, 15, 15) == 1);
  CHECK(id_at(result, 15, 5) == 2);
  CHECK(id_at(result, 5, 15) == 3);
  CHECK(id_at(result, 5, 5) == 4);
}

TEST_CASE("panoptic segments: a mask that overlaps one of a higher score too much is dropped, whatever its class") {
  // 75 of 100 is exactly the threshold, 70 of 100 less; the second is compared with the first though that is dropped.
  CHECK(predictions_of(merge({{0, 0.9f, 0.9f, 0, 0, 10, 10}, {1, 0.8f, 0.95f, 0, 0, 10, 9}})) == Ids{0});
  const PanopticSegments chain =
      merge({{0, 0.9f, 0.9f, 0, 0, 20, 1}, {1, 0.8f, 0.9f, 0, 0, 18, 1}, {0, 0.7f, 0.9f, 0, 0, 14, 1}});
  REQUIRE(chain.candidates.size() == 1);  // 14 of 20 is 0.7, but 14 of 18 is 0.78
  CHECK(chain.candidates[0].prediction == 0);
  const PanopticSegments exact = merge({{0, 0.9f, 0.9f, 0, 0, 20, 1}, {1, 0.8f, 0.9f, 0, 0, 15, 1}});
  CHECK(exact.candidates.size() == 1);
}

TEST_CASE("panoptic segments: an empty mask is dropped and suppresses nothing") {
  const PanopticSegments result = merge({{0, 0.9f, 0.5f, 0, 0, 10, 10}, {1, 0.8f, 0.9f, 0, 0, 10, 10}});
  CHECK(predictions_of(result) == Ids{1});
  CHECK(result.candidates.size() == 1);
}

TEST_CASE("panoptic segments: a pixel goes to the largest product, and is void where that one is not sure of it") {
  // Over the middle the first has 0.9 * 0.4 = 0.36, the second 0.5 * 0.7 = 0.35.
  Tensor p = Tensor::zeros({2, 1, 60});
  for (i64 x = 0; x < 60; ++x) {
    p.data<float>()[x] = x < 40 ? 0.9f : x < 50 ? 0.4f : 0;
    p.data<float>()[60 + x] = x < 40 ? 0 : 0.7f;
  }
  const Tensor classes = Tensor::from(std::vector<i64>{0, 1}), scores = Tensor::from(std::vector<float>{0.9f, 0.5f});
  PanopticConfig config{.least_overlap = 0.1, .least_area = 5};
  const auto at = [](const PanopticSegments& result, i64 x) { return result.ids.data<i64>()[x]; };
  const PanopticSegments sure = panoptic_segments(p, classes, scores, config);
  CHECK(at(sure, 0) == 1);
  CHECK(at(sure, 45) == 1);
  CHECK(at(sure, 55) == 2);
  CHECK(sure.candidates[0].area == 50);
  CHECK(sure.candidates[0].overlap == doctest::Approx(40.0 / 50));
  config.pixel_threshold = 0.45;
  const PanopticSegments unsure = panoptic_segments(p, classes, scores, config);
  CHECK(at(unsure, 45) == 0);  // void, not the second's
  CHECK(unsure.candidates[0].overlap == 1);
}

TEST_CASE("panoptic segments: who keeps too little of its mask, or too few pixels, is void") {
  const std::vector<Prediction> covered = {{0, 0.9f, 0.9f, 0, 0, 4, 10}, {1, 0.8f, 0.9f, 0, 0, 10, 10}};
  CHECK(predictions_of(merge(covered)) == Ids{0});  // 60 of 100 is not more than 0.6
  CHECK(id_at(merge(covered), 8, 5) == 0);
  CHECK(predictions_of(merge(covered, {.least_overlap = 0.59, .least_area = 10})) == Ids{0, 1});
  CHECK(merge({{0, 0.9f, 0.9f, 0, 0, 2, 5}}).segments.empty());  // ten pixels are not more than ten
}

TEST_CASE("panoptic segments: predictions of stuff of one class are one segment of their mean score") {
  const PanopticSegments result = merge({{kSky, 0.5f, 0.9f, 0, 0, 5, 10}, {kSky, 0.9f, 0.9f, 10, 0, 5, 10}});
  REQUIRE(result.segments.size() == 1);
  CHECK(result.segments[0].score == doctest::Approx(0.7));
  CHECK(result.segments[0].prediction == 1);
  CHECK(id_at(result, 2, 2) == 1);
  CHECK(id_at(result, 12, 2) == 1);
  CHECK(id_at(result, 7, 2) == 0);
}

TEST_CASE("panoptic segments: on the way back the padding is cut off, segments stay disjoint and empty ones go") {
  const PanopticSegments result = merge({{0, 0.9f, 0.9f, 0, 0, 8, 16}, {1, 0.8f, 0.9f, 17, 0, 3, 20}});
  REQUIRE(result.segments.size() == 2);
  const std::vector<i64> queries = {7, 9};
  const std::vector<Instance> found = panoptic_instances(result, queries, {16, 16}, {8, 4});
  REQUIRE(found.size() == 1);  // the second lies in the padding
  CHECK(found[0].query == 7);
  CHECK(found[0].mask == Rle{8, 4, {0, 16, 16}});
  CHECK(found[0].box == XywhBox{0, 0, 2, 8});
  CHECK_ERROR(panoptic_instances(result, queries, {16, 21}, {8, 4}), "16 x 21 is larger than the padded input");
}

TEST_CASE("panoptic segments: pasted probabilities are those that masks are pasted by") {
  Random random(3);
  Tensor masks = Tensor::empty({4, 7, 7});
  for (float& p : masks.span<float>()) p = static_cast<float>(random.uniform());
  const Tensor boxes =
      Tensor::from(std::vector<float>{2, 3, 11.5f, 17, -4, -2, 9, 8, 5, 5, 5, 12, 16, 4, 9, 18}, {4, 4});
  const Tensor p = paste_probabilities(masks, boxes, {kSide, 24});
  const ops::PastedMasks pasted = ops::paste_masks(masks, boxes, kSide, 24);
  for (i64 n = 0; n < 4; ++n) {
    double sum = 0;
    i64 area = 0;
    for (const float value : p.rows(n, n + 1).span<float>()) {
      sum += value > 0.5f ? value : 0;
      area += value > 0.5f;
    }
    CHECK(area == pasted.areas.data<i64>()[n]);
    CHECK(sum == doctest::Approx(pasted.sums.data<float>()[n]).epsilon(1e-5));
  }
  CHECK(pasted.areas.data<i64>()[2] == 0);  // a box without width
}

TEST_CASE("panoptic segments: shapes that do not fit are named") {
  CHECK_ERROR(panoptic_segments(Tensor::zeros({2, 4, 4}), Tensor::zeros({3}, DType::kI64), Tensor::zeros({2}), {}),
              "expected probabilities [N, h, w], classes i64 [N] and scores [N], got [2, 4, 4]");
}

}  // namespace
}  // namespace tessera::roi_heads
