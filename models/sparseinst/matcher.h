// Which query answers for which object: the one-to-one assignment with the largest total score (section 3.4),
//   C(n, k) = dice(m_n, t_k)^0.8 p(n, class_k)^0.2,   dice = 2 sum m t / (sum m^2 + sum t^2 + 1e-4),
// m the sigmoid of the mask logits at stride 4, t the target, p the class probability.
#pragma once

#include <vector>

#include "models/sparseinst/decoder.h"
#include "models/sparseinst/targets.h"

namespace tessera {

// The pairs of one picture: min(Q, K) of them, queries ascending; targets count from the picture's first.
struct Matches {
  std::vector<i64> queries, targets;
};

// Scores of one picture: f32 [Q, K]. No gradient.
Tensor matching_scores(const SparseInstOutput& output, const SparseInstTargets& targets, i64 picture,
                       const MatcherConfig& config);

// The pairs of every picture. A score that is not finite is an error that names the picture and what is not finite.
std::vector<Matches> match(const SparseInstOutput& output, const SparseInstTargets& targets,
                           const MatcherConfig& config);

}  // namespace tessera
