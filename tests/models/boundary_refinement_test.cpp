// RefineMask's training and inference at the boundary, and what its head refuses.
#include "models/roi_heads/boundary_refinement.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "models/roi_heads/refine_mask.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace roi_heads;

TEST_CASE("RefineMask: the finer stages are trained at the boundary alone, and change the mask there alone") {
  // A half plane, predicted as it is; the edge lies between the columns of the middle.
  StageLogits logits;
  StageTargets targets;
  for (size_t i = 0; i < logits.size(); ++i) {
    const i64 S = 14 << i;
    Tensor map = Tensor::full({1, S, S, 1}, -4);
    for (i64 cell = 0; cell < S * S; ++cell)
      if (cell % S < S / 2) map.data<float>()[cell] = 4;
    logits[i] = Var(map.clone(), true);
    targets[i] = ops::greater_equal(map, 0).to(DType::kF32);
  }
  const auto losses = refinement_losses(logits, targets);
  Var sum_of_all = losses[0];
  for (size_t i = 1; i < losses.size(); ++i) {
    CHECK(losses[i].value().item() == doctest::Approx(std::log1p(std::exp(-4))));  // means of equal terms
    sum_of_all = sum_of_all + losses[i];
  }
  sum_of_all.backward();
  const auto trained = [&](size_t stage, i64 row, i64 column) {
    return logits[stage].grad().data<float>()[row * logits[stage].dim(1) + column] != 0;
  };
  CHECK(trained(1, 13, 3));    // everywhere
  CHECK(trained(2, 28, 27));   // beside the edge
  CHECK(trained(2, 0, 5));     // at the border, which is boundary of the inside
  CHECK(!trained(2, 28, 12));  // deep inside and deep outside
  CHECK(!trained(2, 28, 45));
  CHECK(trained(3, 56, 56));
  CHECK(!trained(3, 56, 25));

  // The last stage denies it all: only in the boundary is that heard.
  logits[3] = Var(Tensor::full({1, 112, 112, 1}, -9));
  const Tensor refined = refined_logits(logits);
  CHECK(refined.data<float>()[56 * 112 + 25] == doctest::Approx(4));
  CHECK(refined.data<float>()[56 * 112 + 55] == -9);
  CHECK(refined.data<float>()[56 * 112 + 90] == doctest::Approx(-4));
}

TEST_CASE("RefineMask: an empty region has no loss") {
  StageLogits logits;
  StageTargets targets;
  for (size_t i = 0; i < logits.size(); ++i) {
    const i64 S = 14 << i;
    logits[i] = Var(Tensor::full({2, S, S, 1}, -1), true);
    targets[i] = Tensor::zeros({2, S, S, 1});
  }
  const auto losses = refinement_losses(logits, targets);
  CHECK(losses[1].value().item() == doctest::Approx(std::log1p(std::exp(-1))));
  CHECK(losses[2].value().item() == 0);
  CHECK(losses[3].value().item() == 0);
  (losses[2] + losses[3]).backward();
  CHECK(std::ranges::all_of(logits[3].grad().span<float>(), [](float g) { return g == 0; }));
  Random random(1);
  CHECK_ERROR(RefineMask(12, 3, random), "refine_mask: 12 channels; they must be a multiple of 8 from 16 on");
}

}  // namespace tessera::test
