#include "models/sparseinst/matcher.h"

#include <algorithm>
#include <cmath>

#include "ops/assignment.h"
#include "ops/losses.h"

namespace tessera {

namespace {

bool all_finite(const Tensor& x) {
  return std::ranges::all_of(x.span<float>(), [](float value) { return std::isfinite(value); });
}

// Row n of [N, ...] without the first dimension, on the host.
Tensor of_picture(const Tensor& x, i64 n) {
  return x.rows(n, n + 1).to_host().reshape(Shape(std::span<const i64>(x.shape().begin() + 1, x.shape().end())));
}

}  // namespace

Tensor matching_scores(const SparseInstOutput& output, const SparseInstTargets& targets, i64 picture,
                       const MatcherConfig& config) {
  const Tensor logits = of_picture(output.logits.value(), picture);  // [Q, C]
  const Tensor masks = of_picture(output.masks.value(), picture);    // [Q, h, w]
  const std::string& name = targets.names[static_cast<size_t>(picture)];
  TESSERA_CHECK(all_finite(logits), "sparseinst matcher: pred_logits of {} are not finite", name);
  TESSERA_CHECK(all_finite(masks), "sparseinst matcher: pred_masks of {} are not finite", name);

  const i64 Q = masks.dim(0), K = targets.count(picture), first = targets.first[static_cast<size_t>(picture)];
  const Tensor maps = targets.maps.rows(first, first + K);                          // [K, h w]
  Tensor scores = ops::pairwise_dice(masks.reshape({Q, maps.dim(1)}), maps, 1e-4);  // [Q, K]
  float* score = scores.data<float>();
  for (i64 q = 0; q < Q; ++q)
    for (i64 k = 0; k < K; ++k, ++score) {
      const i64 label = targets.classes[static_cast<size_t>(first + k)];
      const float p = 1 / (1 + std::exp(-logits.data<float>()[q * logits.dim(1) + label]));
      *score = static_cast<float>(std::pow(*score, config.dice_exponent) * std::pow(p, config.class_exponent));
    }
  TESSERA_CHECK(all_finite(scores), "sparseinst matcher: the matching scores of {} are not finite", name);
  return scores;
}

std::vector<Matches> match(const SparseInstOutput& output, const SparseInstTargets& targets,
                           const MatcherConfig& config) {
  std::vector<Matches> matches(targets.names.size());
  for (size_t n = 0; n < matches.size(); ++n) {
    const i64 picture = static_cast<i64>(n);
    if (targets.count(picture) == 0) continue;
    const auto [rows, columns] = ops::linear_sum_assignment(matching_scores(output, targets, picture, config), true);
    matches[n] = {rows, columns};
  }
  return matches;
}

}  // namespace tessera
