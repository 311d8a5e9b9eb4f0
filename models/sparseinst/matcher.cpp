#include "models/sparseinst/matcher.h"

#include "ops/assignment.h"
#include "ops/matching.h"
#include "ops/reduce.h"

namespace tessera {

namespace {

// Row n of [N, ...] without the first dimension.
Tensor of_picture(const Tensor& x, i64 n) {
  return x.rows(n, n + 1).reshape(Shape(std::span<const i64>(x.shape().begin() + 1, x.shape().end())));
}

void check_finite(const char* what, const Tensor& x, const SparseInstTargets& targets) {
  if (ops::all_finite(x)) return;
  for (i64 n = 0; n < x.dim(0); ++n)
    TESSERA_CHECK(ops::all_finite(of_picture(x, n)), "sparseinst matcher: {} of {} are not finite", what,
                  targets.names[static_cast<size_t>(n)]);
}

}  // namespace

Tensor matching_scores(const SparseInstOutput& output, const SparseInstTargets& targets, i64 picture,
                       const MatcherConfig& config) {
  const Tensor logits = of_picture(output.logits.value(), picture);  // [Q, C]
  const Tensor masks = of_picture(output.masks.value(), picture);    // [Q, h, w]
  const i64 K = targets.count(picture), first = targets.first[static_cast<size_t>(picture)];
  const Tensor maps = targets.maps.rows(first, first + K);  // [K, h w]
  const Tensor classes =
      Tensor::from(std::span(targets.classes).subspan(static_cast<size_t>(first), static_cast<size_t>(K)), {K});
  return ops::dice_class_score(
      masks.reshape({masks.dim(0), maps.dim(1)}), maps, logits, classes.to(maps.device()),
      {.eps = 1e-4, .dice_exponent = config.dice_exponent, .class_exponent = config.class_exponent});
}

std::vector<Matches> match(const SparseInstOutput& output, const SparseInstTargets& targets,
                           const MatcherConfig& config) {
  check_finite("pred_logits", output.logits.value(), targets);
  check_finite("pred_masks", output.masks.value(), targets);
  std::vector<size_t> pictures;
  std::vector<Tensor> scores;
  for (size_t n = 0; n < targets.names.size(); ++n) {
    const i64 picture = static_cast<i64>(n);
    if (targets.count(picture) == 0) continue;
    pictures.push_back(n);
    scores.push_back(matching_scores(output, targets, picture, config));
  }
  const std::vector<ops::Assignment> assignments = ops::linear_sum_assignments(scores, true);
  std::vector<Matches> matches(targets.names.size());
  for (size_t k = 0; k < pictures.size(); ++k) matches[pictures[k]] = {assignments[k].rows, assignments[k].columns};
  return matches;
}

}  // namespace tessera
