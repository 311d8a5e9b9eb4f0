// Matching: which detections of one image and class find which ground truths.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

// The nine-tenths threshold is one ulp below 0.9: the official grid is 0.5 + i * 0.049999999999999996.
inline constexpr std::array<double, 10> kIouThresholds = {
    0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95};

// Object areas in pixels, both ends inclusive.
struct AreaRange {
  double low, high;
  bool contains(double area) const { return area >= low && area <= high; }
};
using AreaRanges = std::array<AreaRange, 4>;  // all, small, medium, large
inline constexpr AreaRanges kAreaRanges = {{{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}}};

using ThresholdBits = u16;  // bit t stands for kIouThresholds[t]
inline constexpr ThresholdBits kAllThresholds = (1 << kIouThresholds.size()) - 1;

struct MatchTruth {
  i64 id;  // the annotation's; 0 makes its matches count as none, as in the official tool
  double area;
  bool ignored;  // need not be found, and finding it is no mistake
  bool crowd;    // may be found any number of times
};

// A detection and a ground truth that overlap by at least the lowest threshold.
struct OverlapPair {
  u32 detection, truth;
  double overlap;
};

// The outcome for one detection in every area range at every threshold.
struct MatchOutcome {
  std::array<ThresholdBits, kAreaRanges.size()> matched{};  // found a ground truth
  std::array<ThresholdBits, kAreaRanges.size()> ignored{};  // counts neither as right nor as wrong
};

// A ground truth takes no part in the count of an area range when it is ignored anyway or outside the range.
inline bool is_ignored(const MatchTruth& truth, const AreaRange& range) {
  return truth.ignored || !range.contains(truth.area);
}

// Greedy matching. `areas` are the detections' in order of descending score; `pairs` are by ascending detection, then
// truth. Each detection in turn takes, among the ground truths it overlaps by at least the threshold and that are still
// free (a crowd always is), the one it overlaps most; of equals the last; and an ignored one only when no other is
// left. Matched to an ignored one it is ignored; unmatched it is ignored when its own area is outside the range, or
// always when `lenient`: not all objects of the class are marked in this image. Writes one outcome per detection.
void match_detections(std::span<const double> areas, std::span<const MatchTruth> truths,
                      std::span<const OverlapPair> pairs, const AreaRanges& ranges, bool lenient,
                      std::span<MatchOutcome> outcomes);

}  // namespace tessera
