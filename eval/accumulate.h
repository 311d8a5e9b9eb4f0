// From matched detections to precision and recall, as the COCO and LVIS tools accumulate them.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "eval/match.h"

namespace tessera {

inline constexpr int kRecallSteps = 101;  // recall thresholds i * 0.01

struct ScoredOutcome {
  double score;
  u32 rank;  // position by score within its image and class
  MatchOutcome match;
};

// The curves of one class, area range and limit of detections.
struct PrecisionCurves {
  // At each threshold and recall step: the precision, made non-increasing from the right, and the score there;
  // 0 beyond the last recall reached. All -1 when there is nothing to find.
  std::array<std::array<double, kRecallSteps>, kIouThresholds.size()> precision, score;
  std::array<double, kIouThresholds.size()> recall;  // the last recall reached
};

// `outcomes` by descending score over all images, of which those of rank < limit take part; `positives` is the number
// of ground truths that are not ignored in this area range.
PrecisionCurves precision_curves(std::span<const ScoredOutcome> outcomes, size_t area, u32 limit, i64 positives);

// Mean of the values > -1, or -1 when there are none; summed in the order of the official tool's array library, so that
// not even the last digit differs.
double mean_of_present(std::span<const double> values);

}  // namespace tessera
