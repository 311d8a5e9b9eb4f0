// Targets, matching and the loss terms, on hand-made network outputs.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "models/sparseinst/criterion.h"
#include "tests/models/tiny_sparseinst.h"
#include "tests/support/check_error.h"

using namespace tessera;
using namespace tessera::sparseinst;

namespace {

// Pictures of 8 x 8 pixels with the given masks at the same size, so that maps are masks.
MaskTargets make_maps(const std::vector<std::vector<i64>>& classes) {
  MaskTargets targets;
  targets.first.push_back(0);
  std::vector<i64> all;
  for (size_t n = 0; n < classes.size(); ++n) {
    targets.first.push_back(targets.first.back() + static_cast<i64>(classes[n].size()));
    all.insert(all.end(), classes[n].begin(), classes[n].end());
  }
  targets.classes = Tensor::from(all);
  targets.maps = Tensor::zeros({targets.count(), 64});
  for (i64 t = 0; t < targets.count(); ++t)  // object t: column t mod 8
    for (i64 y = 0; y < 8; ++y) targets.maps.data<float>()[t * 64 + y * 8 + t % 8] = 1;
  return targets;
}

// Every query draws the column of `shown` (an index of a target, -1: nothing) with certainty.
Output make_output(const std::vector<std::vector<i64>>& shown, i64 classes) {
  const i64 N = static_cast<i64>(shown.size()), Q = static_cast<i64>(shown[0].size());
  Tensor masks = Tensor::full({N, Q, 8, 8}, -20);
  for (i64 n = 0; n < N; ++n)
    for (i64 q = 0; q < Q; ++q)
      if (const i64 t = shown[static_cast<size_t>(n)][static_cast<size_t>(q)]; t >= 0)
        for (i64 y = 0; y < 8; ++y) masks.data<float>()[((n * Q + q) * 8 + y) * 8 + t % 8] = 20;
  return {Var(Tensor::zeros({N, Q, classes}), true), Var(Tensor::zeros({N, Q, 1}), true), Var(masks, true), Var()};
}

std::vector<i64> list(const Tensor& x) {
  return {x.span<i64>().begin(), x.span<i64>().end()};
}

}  // namespace

TEST_CASE("sparseinst targets: at a quarter of the size a mask becomes the mean of the inner 2x2 pixels") {
  Batch batch = test::rectangles({1});
  Tensor& mask = batch.samples[0].targets.masks;
  mask.fill(0);
  mask.data<u8>()[1 * 64 + 1] = 1;  // one of the four inner pixels of the first block
  mask.data<u8>()[0] = 1;           // not an inner pixel
  for (i64 y = 4; y < 8; ++y)
    for (i64 x = 0; x < 4; ++x) mask.data<u8>()[y * 64 + x] = 1;
  const MaskTargets targets = make_targets(batch, 16, 16, 3);
  CHECK(targets.maps.data<float>()[0] == doctest::Approx(0.25));
  CHECK(targets.maps.data<float>()[16] == doctest::Approx(1));
  CHECK(targets.maps.data<float>()[1] == doctest::Approx(0));
}

TEST_CASE("sparseinst targets: a picture smaller than the batch lies at the top left") {
  Batch batch = test::rectangles({1});
  Sample& sample = batch.samples[0];
  sample.targets.masks = Tensor::full({1, 32, 16}, 1, DType::kU8);
  sample.image = Tensor::zeros({32, 16, 3}, DType::kU8);
  const MaskTargets targets = make_targets(batch, 16, 16, 3);
  double sum = 0;
  for (const float value : targets.maps.span<float>()) sum += value;
  CHECK(sum == doctest::Approx(8 * 4));
  CHECK(targets.maps.data<float>()[7 * 16 + 3] == doctest::Approx(1));
}

TEST_CASE("sparseinst targets: every one of many objects keeps its own mask") {
  Batch batch = test::rectangles({2, 40, 1});
  const MaskTargets targets = make_targets(batch, 16, 16, 3);
  REQUIRE(targets.maps.shape() == Shape{43, 256});
  for (i64 t = 0; t < 43; ++t) {
    const i64 n = t < 2 ? 0 : t < 42 ? 1 : 2, k = t - targets.first[static_cast<size_t>(n)];
    const u8* mask = batch.samples[static_cast<size_t>(n)].targets.masks.data<u8>() + k * 64 * 64;
    for (i64 y = 0; y < 16; ++y)
      for (i64 x = 0; x < 16; ++x) {
        const u8* inner = mask + (4 * y + 1) * 64 + 4 * x + 1;
        const int sum = inner[0] + inner[1] + inner[64] + inner[65];
        REQUIRE(targets.maps.data<float>()[t * 256 + y * 16 + x] == static_cast<float>(sum) / 4);
      }
    CHECK(targets.classes.data<i64>()[t] == k % 3);
  }
}

TEST_CASE("sparseinst matcher: each query takes the object it draws, queries ascending") {
  const MaskTargets targets = make_maps({{0, 1, 2}, {}, {1}});
  const Output output = make_output({{-1, 2, 0, 1, -1}, {0, 1, 2, 3, -1}, {-1, -1, -1, 3, -1}}, 3);
  const Matches matches = match(output, targets, {});
  CHECK(list(matches.queries) == std::vector<i64>{1, 2, 3, 10 + 3});
  CHECK(list(matches.targets) == std::vector<i64>{2, 0, 1, 3});
}

TEST_CASE("sparseinst matcher: the class decides between queries that draw the same") {
  const MaskTargets targets = make_maps({{1}});
  Output output = make_output({{0, 0}}, 2);
  output.logits.value().data<float>()[1 * 2 + 1] = 3;
  CHECK(list(match(output, targets, {}).queries) == std::vector<i64>{1});
  // score = dice^0.8 p^0.2 with dice 16 / (16 + 1e-4)
  const Tensor scores = matching_scores(output, targets, 0, {});
  CHECK(scores.data<float>()[0] == doctest::Approx(std::pow(0.5, 0.2)).epsilon(1e-4));
  CHECK(scores.data<float>()[1] == doctest::Approx(std::pow(1 / (1 + std::exp(-3.0)), 0.2)).epsilon(1e-4));
}

TEST_CASE("sparseinst matcher: with more objects than queries the next picture keeps its own objects") {
  const MaskTargets targets = make_maps({{0, 0, 0, 0, 0}, {1, 2}});
  const Output output = make_output({{4, 1, 0}, {6, -1, 5}}, 3);
  const Matches matches = match(output, targets, {});
  CHECK(list(matches.queries) == std::vector<i64>{0, 1, 2, 3, 5});
  CHECK(list(matches.targets) == std::vector<i64>{4, 1, 0, 6, 5});
  const Tensor ious = matched_ious(output, targets, matches);
  REQUIRE(ious.numel() == 5);
  for (const float iou : ious.span<float>()) CHECK(iou == doctest::Approx(1));
}

TEST_CASE("sparseinst matcher: what is not finite is named with its picture, and the pairs are any") {
  const MaskTargets targets = make_maps({{0}, {1}});
  const auto named = [&](const Output& output) {
    const Matches matches = match(output, targets, {});
    REQUIRE(matches.queries.numel() == 2);
    for (i64 p = 0; p < 2; ++p) {
      CHECK(matches.queries.data<i64>()[p] / 2 == p);
      CHECK(matches.targets.data<i64>()[p] == p);
    }
    std::vector<std::string> marked;
    for (const FiniteMarks& marks : finite_marks(output))
      for (i64 n = 0; n < marks.marks.numel(); ++n)
        if (!std::isfinite(marks.marks.data<float>()[n])) marked.push_back(fmt::format("{} {}", marks.what, n));
    return marked;
  };
  Output output = make_output({{0, -1}, {1, -1}}, 3);
  CHECK(named(output).empty());
  output.masks.value().data<float>()[2 * 64 + 5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(named(output) == std::vector<std::string>{"sparseinst matcher: pred_masks 1"});
  output = make_output({{0, -1}, {1, -1}}, 3);
  output.logits.value().data<float>()[0] = std::numeric_limits<float>::infinity();
  CHECK(named(output) == std::vector<std::string>{"sparseinst matcher: pred_logits 0"});
}

TEST_CASE("sparseinst losses: each term by hand") {
  const MaskTargets targets = make_maps({{0, 2}});
  const Output output = make_output({{0, -1, 1}}, 3);
  const Matches matches = match(output, targets, {});
  const auto term = [&](const LossConfig& config, const std::string& name) {
    for (const LossTerm& t : loss_terms(output, targets, matches, config))
      if (t.name == name) return t.value.value().item();
    return -1.0;
  };
  // All class logits are 0: p = 1/2, BCE log 2; 2 positives, 7 negatives; weight 2, two targets.
  CHECK(term({}, "loss_ce") == doctest::Approx(2 * std::log(2) * 0.25 * (2 * 0.25 + 7 * 0.75) / 2));
  // Objectness logits 0 towards any IoU: log 2. Under l1: |1/2 - 1|.
  CHECK(term({}, "loss_objectness") == doctest::Approx(std::log(2)));
  LossConfig l1;
  l1.objectness = ObjectnessLoss::kL1;
  CHECK(term(l1, "loss_objectness") == doctest::Approx(0.5));
  CHECK(term({}, "loss_dice") == doctest::Approx(2 * 1e-4 / 16).epsilon(0.1));
  CHECK(term({}, "loss_mask") == doctest::Approx(0).epsilon(1e-6));

  LossConfig none;
  none.objectness = ObjectnessLoss::kNone;
  none.mask = MaskLoss::kBce;
  CHECK(term(none, "loss_objectness") == -1);
  CHECK(term(none, "loss_dice") == -1);
  CHECK(term(none, "loss_mask") >= 0);
}

TEST_CASE("sparseinst losses: a mask that answers nothing costs the pixel weight times its logits") {
  const MaskTargets targets = make_maps({{0}});
  Output output = make_output({{-1, -1}}, 3);
  output.masks.value().fill(0);
  const Matches matches = match(output, targets, {});
  const auto terms = loss_terms(output, targets, matches, {});
  CHECK(terms[2].value.value().item() == doctest::Approx(2 * (1 - 2 * 4.0 / (16 + 8 + 1e-4))));  // dice
  CHECK(terms[3].value.value().item() == doctest::Approx(5 * std::log(2)));                      // pixels
}
