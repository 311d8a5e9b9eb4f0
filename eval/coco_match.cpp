#include "eval/coco_match.h"

#include "tensor/error.h"

namespace tessera {

namespace {

// One area range at one threshold after the other, over ground truths that few detections reach.
class RangeMatcher {
 public:
  RangeMatcher(std::span<const MatchTruth> truths, const AreaRange& range)
      : truths_(truths), ignored_(truths.size()), taken_(truths.size()) {
    for (size_t g = 0; g < truths.size(); ++g) ignored_[g] = is_ignored(truths[g], range);
  }

  // The position of the ground truth a detection takes at threshold t, or -1. `reach` lists those it overlaps by at
  // least the lowest threshold, in order.
  i64 take(size_t t, std::span<const u32> reach, std::span<const double> overlaps) {
    i64 match = best(t, reach, overlaps, false);
    if (match < 0) match = best(t, reach, overlaps, true);
    if (match >= 0) taken_[match] |= 1 << t;
    return match;
  }
  bool ignored(i64 truth) const { return ignored_[truth]; }

 private:
  i64 best(size_t t, std::span<const u32> reach, std::span<const double> overlaps, bool among_ignored) const {
    double most = kIouThresholds[t];
    i64 match = -1;
    for (const u32 g : reach) {
      if (static_cast<bool>(ignored_[g]) != among_ignored || overlaps[g] < most) continue;
      if ((taken_[g] >> t & 1) && !truths_[g].crowd) continue;
      most = overlaps[g];
      match = g;
    }
    return match;
  }

  std::span<const MatchTruth> truths_;
  std::vector<u8> ignored_;
  std::vector<ThresholdBits> taken_;
};

}  // namespace

std::vector<MatchOutcome> match_detections(std::span<const double> areas, std::span<const MatchTruth> truths,
                                           std::span<const double> overlaps) {
  TESSERA_CHECK(overlaps.size() == areas.size() * truths.size(), "match_detections: {} overlaps for {} x {} pairs",
                overlaps.size(), areas.size(), truths.size());
  std::vector<MatchOutcome> outcomes(areas.size());
  std::vector<std::vector<u32>> reach(areas.size());
  for (size_t d = 0; d < areas.size(); ++d) {
    for (size_t g = 0; g < truths.size(); ++g)
      if (overlaps[d * truths.size() + g] >= kIouThresholds[0]) reach[d].push_back(static_cast<u32>(g));
  }
  for (size_t a = 0; a < kAreaRanges.size(); ++a) {
    RangeMatcher matcher(truths, kAreaRanges[a]);
    for (size_t d = 0; d < areas.size(); ++d) {
      ThresholdBits matched = 0, ignored = 0;
      for (size_t t = 0; t < kIouThresholds.size() && !reach[d].empty(); ++t) {
        const i64 g = matcher.take(t, reach[d], overlaps.subspan(d * truths.size(), truths.size()));
        if (g < 0) continue;
        if (truths[g].id != 0) matched |= 1 << t;
        if (matcher.ignored(g)) ignored |= 1 << t;
      }
      if (!kAreaRanges[a].contains(areas[d])) ignored |= kAllThresholds & ~matched;
      outcomes[d].matched[a] = matched;
      outcomes[d].ignored[a] = ignored;
    }
  }
  return outcomes;
}

}  // namespace tessera
