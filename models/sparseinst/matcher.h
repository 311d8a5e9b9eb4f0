// Which query answers for which object: the one-to-one assignment with the largest total score (section 3.4),
//   C(n, k) = dice(m_n, t_k)^0.8 p(n, class_k)^0.2,   dice = 2 sum m t / (sum m^2 + sum t^2 + 1e-4),
// m the sigmoid of the mask logits at stride 4, t the target, p the class probability.
#pragma once

#include <vector>

#include "models/segmenter.h"
#include "models/sparseinst/decoder.h"
#include "models/sparseinst/targets.h"

namespace tessera::sparseinst {

// The P matched pairs of all pictures, picture after picture: min(Q, K) of each, its queries ascending. i64 [P].
struct Matches {
  Tensor queries;  // rows of [N Q, ...]
  Tensor targets;  // rows of the target maps
};

// Scores of one picture: f32 [Q, K]. No gradient.
Tensor matching_scores(const Output& output, const MaskTargets& targets, i64 picture, const MatcherConfig& config);

// The pairs lie on the output's device and the host does not wait for them. Where an output is not finite, they are
// any.
Matches match(const Output& output, const MaskTargets& targets, const MatcherConfig& config);

// What the scores are made of, picture by picture: whether it is finite.
std::vector<FiniteMarks> finite_marks(const Output& output);

}  // namespace tessera::sparseinst
