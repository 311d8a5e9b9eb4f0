// PointRend++: the points that are trained and predicted.
#include "models/roi_heads/point_rend.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "nn/intermediates.h"
#include "ops/interpolate.h"
#include "tests/models/small_rois.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace roi_heads;

namespace {

constexpr i64 kChannels = 16, kClasses = 3;

}  // namespace

TEST_CASE("PointRend: a step's random points repeat, differ from RoI to RoI and know nothing of the batch") {
  Random random(5);
  const PointRend head(kChannels, kClasses, {.train_points = 8}, random);
  const SmallRois s = small_rois(6, kChannels);
  const StepContext context{.step = 3, .epoch = 0, .seed = 1};
  const Tensor points = head.uniform_points(s.rois, context);
  CHECK(points.shape() == Shape{6, 3 * 8 + 2, 2});
  CHECK(same_bits(points, head.uniform_points(s.rois, context)));
  CHECK(!same_bits(points, head.uniform_points(s.rois, {.step = 4, .epoch = 0, .seed = 1})));
  CHECK(!same_bits(points.rows(0, 1), points.rows(2, 3)));
  Rois alone = s.rois;  // in one picture, where those of picture 1 lie behind three others
  alone.image = Tensor::from(std::vector<i64>{0, 0, 0, 1, 1, 1});
  const Tensor apart = head.uniform_points(alone, context);
  CHECK(same_bits(apart.rows(0, 3), apart.rows(3, 6)));
  CHECK(same_bits(apart.rows(2, 3), points.rows(4, 5)));
  CHECK(std::ranges::all_of(points.span<float>(), [](float x) { return x >= 0 && x < 1; }));
}

TEST_CASE("PointRend: trained are the points that the coarse mask is least certain of, and some of all") {
  Random random(5);
  PointRend head(kChannels, kClasses, {.train_points = 4}, random);
  const SmallRois s = small_rois(2, kChannels);
  const Tensor uniform = head.uniform_points(s.rois, {});  // 12 candidates and one more of each RoI
  nn::Intermediates seen;
  head.losses(s.maps, s.rois, s.targets, uniform);
  const Tensor own = select_class(Var(seen.at("logits")), s.rois.classes).value();  // [2, 28, 28, 1]
  for (i64 r = 0; r < 2; ++r) {
    const float* candidates = uniform.data<float>() + r * 13 * 2;
    std::vector<std::pair<double, i64>> certainty;
    for (i64 k = 0; k < 12; ++k) {
      const float x = candidates[2 * k] * 28 - 0.5F, y = candidates[2 * k + 1] * 28 - 0.5F;
      double logit = 0;
      for (const i64 v : {0, 1})
        for (const i64 u : {0, 1}) {
          const i64 column = static_cast<i64>(std::floor(x)) + u, row = static_cast<i64>(std::floor(y)) + v;
          if (column < 0 || column >= 28 || row < 0 || row >= 28) continue;
          logit += (1 - std::abs(x - static_cast<float>(column))) * (1 - std::abs(y - static_cast<float>(row))) *
                   own.data<float>()[(r * 28 + row) * 28 + column];
        }
      certainty.emplace_back(std::abs(logit), k);
    }
    std::ranges::sort(certainty);
    const float* points = seen.at("points").data<float>() + r * 4 * 2;
    for (size_t i = 0; i < 3; ++i) CHECK(points[2 * i] == candidates[2 * certainty[i].second]);
    CHECK(points[6] == candidates[24]);
  }
}

TEST_CASE("PointRend: each doubling replaces the cells nearest to the edge of the mask, and no others") {
  Random random(5);
  const SmallRois s = small_rois(3, kChannels);
  const auto mask_with = [&](i64 points) {
    Random weights(9);
    PointRend head(kChannels, kClasses, {.subdivision_points = points, .subdivision_steps = 1}, weights);
    nn::Intermediates seen;
    head.probabilities(s.maps, s.rois, s.padded);
    const Tensor coarse = select_class(Var(seen.at("logits")), s.rois.classes).value();
    return std::pair{ops::interpolate(coarse, 56, 56, ops::Interpolation::kBilinear), seen.at("mask_logits")};
  };
  const auto [doubled, refined] = mask_with(100);
  CHECK(refined.shape() == Shape{3, 56, 56, 1});
  for (i64 r = 0; r < 3; ++r) {
    i64 replaced = 0;
    double furthest = 0, nearest_left = INFINITY;
    for (i64 i = r * 56 * 56; i < (r + 1) * 56 * 56; ++i) {
      const double before = std::abs(static_cast<double>(doubled.data<float>()[i]));
      if (refined.data<float>()[i] == doubled.data<float>()[i]) {
        nearest_left = std::min(nearest_left, before);
      } else {
        ++replaced;
        furthest = std::max(furthest, before);
      }
    }
    CHECK(replaced == 100);
    CHECK(furthest <= nearest_left);
  }
  CHECK_ERROR(mask_with(56 * 56 + 1), "point_rend: subdivision_points must be from 1 to 3136, got 3137");
}

}  // namespace tessera::test
