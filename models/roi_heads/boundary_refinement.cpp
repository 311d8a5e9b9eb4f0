#include "models/roi_heads/boundary_refinement.h"

#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/roi_heads/boundary.h"
#include "ops/interpolate.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera::roi_heads {

namespace {

Tensor at_least(const Tensor& x, double value) {
  return ops::greater_equal(x, value).to(DType::kF32);
}

Tensor mask_of(const Tensor& logits) {
  return at_least(logits, 0);
}

Tensor enlarge(const Tensor& x, i64 S) {
  return ops::interpolate(x, S, S, ops::Interpolation::kBilinear, true);
}

Tensor complement(const Tensor& map) {
  return ops::add_scalar(ops::mul_scalar(map, -1), 1);
}

// a where map is 1, b where it is 0
Tensor choose(const Tensor& map, const Tensor& a, const Tensor& b) {
  return ops::add(ops::mul(map, a), ops::mul(complement(map), b));
}

}  // namespace

std::array<Var, kStages> refinement_losses(const StageLogits& logits, const StageTargets& targets) {
  std::array<Var, kStages> losses;
  Tensor mask;  // of the stage before, made of all until then
  for (size_t i = 0; i < losses.size(); ++i) {
    if (i < 2) {
      losses[i] = binary_cross_entropy_with_logits(logits[i], targets[i], Reduction::kMean);
      mask = mask_of(logits[i].value());
      continue;
    }
    const i64 S = logits[i].dim(1);
    const Tensor either = ops::add(boundary(mask, 2), boundary(targets[i - 1], 2));  // 0, 1 or 2
    const Tensor region = at_least(enlarge(at_least(either, 1), S), 0.5);            // [R, S, S, 1]
    const Tensor cells = ops::clamp_min(ops::sum(region), 1);
    const Var each = binary_cross_entropy_with_logits(logits[i], targets[i], Reduction::kNone);
    losses[i] = sum(each * Var(region)) / Var(cells);

    const Tensor inside = at_least(enlarge(boundary(mask, 1), S), 0.5);
    mask = mask_of(choose(inside, logits[i].value(), enlarge(logits[i - 1].value(), S)));
  }
  return losses;
}

Tensor refined_logits(const StageLogits& logits) {
  Tensor refined = logits[1].value();
  for (size_t i = 2; i < logits.size(); ++i) {
    const i64 S = logits[i].dim(1);
    const Tensor outside = at_least(enlarge(complement(boundary(mask_of(refined), 1)), S), 0.5);
    refined = choose(outside, enlarge(refined, S), logits[i].value());
  }
  return refined;
}

}  // namespace tessera::roi_heads
