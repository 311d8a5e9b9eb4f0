#include "models/sparseinst/matcher.h"

#include "ops/assignment.h"
#include "ops/matching.h"
#include "ops/reduce.h"

namespace tessera::sparseinst {

namespace {

// Row n of [N, ...] without the first dimension.
Tensor of_picture(const Tensor& x, i64 n) {
  return x.rows(n, n + 1).reshape(Shape(std::span<const i64>(x.shape().begin() + 1, x.shape().end())));
}

}  // namespace

Tensor matching_scores(const Output& output, const MaskTargets& targets, i64 picture, const MatcherConfig& config) {
  const Tensor logits = of_picture(output.logits.value(), picture);  // [Q, C]
  const Tensor masks = of_picture(output.masks.value(), picture);    // [Q, h, w]
  const i64 first = targets.first[static_cast<size_t>(picture)], last = first + targets.count(picture);
  const Tensor maps = targets.maps.rows(first, last);  // [K, h w]
  return ops::dice_class_score(
      masks.reshape({masks.dim(0), maps.dim(1)}), maps, logits, targets.classes.rows(first, last),
      {.eps = 1e-4, .dice_exponent = config.dice_exponent, .class_exponent = config.class_exponent});
}

Matches match(const Output& output, const MaskTargets& targets, const MatcherConfig& config) {
  const i64 N = output.masks.dim(0), Q = output.masks.dim(1);
  std::vector<ops::AssignmentProblem> problems;
  for (i64 n = 0; n < N; ++n) {
    const Tensor scores = targets.count(n) > 0 ? matching_scores(output, targets, n, config)
                                               : Tensor::empty({Q, 0}, DType::kF32, output.masks.value().device());
    problems.push_back({scores, n * Q, targets.first[static_cast<size_t>(n)]});
  }
  const auto [queries, matched] = ops::linear_sum_assignments(problems, true);
  return {queries, matched};
}

std::vector<FiniteMarks> finite_marks(const Output& output) {
  return {{"sparseinst matcher: pred_logits", ops::mark_non_finite(output.logits.value())},
          {"sparseinst matcher: pred_masks", ops::mark_non_finite(output.masks.value())}};
}

}  // namespace tessera::sparseinst
