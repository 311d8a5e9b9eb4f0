#include "eval/match.h"

#include "tensor/error.h"

namespace tessera {

namespace {

// One area range at one threshold after the other.
class RangeMatcher {
 public:
  RangeMatcher(std::span<const MatchTruth> truths, const AreaRange& range)
      : truths_(truths), ignored_(truths.size()), taken_(truths.size()) {
    for (size_t g = 0; g < truths.size(); ++g) ignored_[g] = is_ignored(truths[g], range);
  }

  // The position of the ground truth a detection takes at threshold t, or -1. `reach` are its pairs.
  i64 take(size_t t, std::span<const OverlapPair> reach) {
    i64 match = best(t, reach, false);
    if (match < 0) match = best(t, reach, true);
    if (match >= 0) taken_[match] |= 1 << t;
    return match;
  }
  bool ignored(i64 truth) const { return ignored_[truth]; }

 private:
  i64 best(size_t t, std::span<const OverlapPair> reach, bool among_ignored) const {
    double most = kIouThresholds[t];
    i64 match = -1;
    for (const auto& [detection, g, overlap] : reach) {
      if (static_cast<bool>(ignored_[g]) != among_ignored || overlap < most) continue;
      if ((taken_[g] >> t & 1) && !truths_[g].crowd) continue;
      most = overlap;
      match = g;
    }
    return match;
  }

  std::span<const MatchTruth> truths_;
  std::vector<u8> ignored_;
  std::vector<ThresholdBits> taken_;
};

}  // namespace

void match_detections(std::span<const double> areas, std::span<const MatchTruth> truths,
                      std::span<const OverlapPair> pairs, const AreaRanges& ranges, bool lenient,
                      std::span<MatchOutcome> outcomes) {
  TESSERA_CHECK(areas.size() == outcomes.size(), "match_detections: {} areas for {} outcomes", areas.size(),
                outcomes.size());
  for (size_t d = 0; d < areas.size(); ++d) {
    for (size_t a = 0; a < ranges.size(); ++a) {
      outcomes[d].matched[a] = 0;
      outcomes[d].ignored[a] = lenient || !ranges[a].contains(areas[d]) ? kAllThresholds : 0;
    }
  }
  if (pairs.empty()) return;
  for (size_t a = 0; a < ranges.size(); ++a) {
    RangeMatcher matcher(truths, ranges[a]);
    for (size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
      const u32 d = pairs[begin].detection;
      while (end < pairs.size() && pairs[end].detection == d) ++end;
      const std::span<const OverlapPair> reach = pairs.subspan(begin, end - begin);
      ThresholdBits matched = 0, ignored = 0;
      for (size_t t = 0; t < kIouThresholds.size(); ++t) {
        const i64 g = matcher.take(t, reach);
        if (g < 0) continue;
        if (truths[g].id != 0) matched |= 1 << t;
        if (matcher.ignored(g)) ignored |= 1 << t;
      }
      outcomes[d].matched[a] = matched;
      outcomes[d].ignored[a] = ignored | (outcomes[d].ignored[a] & ~matched);
    }
  }
}

}  // namespace tessera
