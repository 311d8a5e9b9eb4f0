#include "eval/match.h"

#include <doctest/doctest.h>

#include "eval/accumulate.h"

namespace tessera {
namespace {

constexpr ThresholdBits kFirstSix = 0b111111;  // thresholds 0.5 to 0.75

// [detections, truths] -> what becomes of the detections.
std::vector<MatchOutcome> match(const std::vector<double>& areas, const std::vector<MatchTruth>& truths,
                                const std::vector<double>& overlaps, bool lenient = false) {
  std::vector<OverlapPair> pairs;
  for (u32 i = 0; i < overlaps.size(); ++i) {
    if (overlaps[i] >= 0.5)
      pairs.push_back({i / static_cast<u32>(truths.size()), i % static_cast<u32>(truths.size()), overlaps[i]});
  }
  std::vector<MatchOutcome> outcomes(areas.size());
  match_detections(areas, truths, pairs, kAreaRanges, lenient, outcomes);
  return outcomes;
}

TEST_CASE("match: a detection takes the free ground truth it overlaps most, of equals the last") {
  const std::vector<MatchTruth> truths = {{11, 500, false, false}, {12, 500, false, false}};
  // The first takes truth 12 (0.75 = 0.75, the last wins), so the second is left with 11, which it reaches at 0.5 only.
  const auto outcomes = match({500.0, 500.0}, truths, {0.75, 0.75, 0.5, 0.9});
  CHECK(outcomes[0].matched[0] == kFirstSix);
  // Above 0.75 truth 12 is free again.
  CHECK(outcomes[1].matched[0] == (1 | (0b111 << 6)));
  CHECK(outcomes[0].ignored[0] == 0);
}

TEST_CASE("match: a regular ground truth goes before an ignored one that is overlapped more") {
  const std::vector<MatchTruth> truths = {{1, 500, true, true}, {2, 500, false, false}};
  const auto outcomes = match({500.0, 500.0}, truths, {0.99, 0.75, 0.99, 0.75});
  CHECK(outcomes[0].matched[0] == kAllThresholds);
  CHECK(outcomes[0].ignored[0] == (kAllThresholds & ~kFirstSix));
  CHECK(outcomes[1].ignored[0] == kAllThresholds);  // a crowd is never taken
}

TEST_CASE("match: an ignored ground truth that is no crowd is taken once") {
  const auto outcomes = match({500.0, 500.0}, {{1, 500, true, false}}, {1.0, 1.0});
  CHECK(outcomes[0].ignored[0] == kAllThresholds);
  CHECK(outcomes[1].matched[0] == 0);
  CHECK(outcomes[1].ignored[0] == 0);
}

TEST_CASE("match: outside the area range a ground truth is ignored and taken once, an unmatched detection ignored") {
  const std::vector<MatchTruth> truths = {{1, 1025, false, false}};
  const auto outcomes = match({900.0, 900.0, 1024.0, 1025.0}, truths, {1.0, 1.0, 0., 0.});
  CHECK(outcomes[0].matched[1] == kAllThresholds);  // small
  CHECK(outcomes[0].ignored[1] == kAllThresholds);
  CHECK(outcomes[1].matched[1] == 0);
  CHECK(outcomes[1].ignored[1] == 0);               // wrong, since its own area is small
  CHECK(outcomes[1].ignored[2] == kAllThresholds);  // but not medium
  CHECK(outcomes[2].ignored[1] == 0);               // 1024 is small and medium
  CHECK(outcomes[2].ignored[2] == 0);
  CHECK(outcomes[3].ignored[1] == kAllThresholds);
}

TEST_CASE("match: where not all objects are marked an unmatched detection is ignored, a matched one right") {
  const auto outcomes = match({500.0, 500.0}, {{1, 500, false, false}}, {0.75, 0}, true);
  CHECK(outcomes[0].matched[0] == kFirstSix);
  CHECK(outcomes[0].ignored[0] == (kAllThresholds & ~kFirstSix));
  CHECK(outcomes[1].ignored[0] == kAllThresholds);
}

TEST_CASE("accumulate: precision and recall of three detections by hand") {
  MatchOutcome right, wrong;
  right.matched.fill(kAllThresholds);
  const std::vector<ScoredOutcome> outcomes = {{0.9, 0, wrong}, {0.8, 0, right}, {0.7, 1, right}};
  const PrecisionCurves all = precision_curves(outcomes, 0, 100, 4);
  CHECK(all.recall[0] == 0.5);
  CHECK(all.precision[0][0] == doctest::Approx(2.0 / 3));  // precision at recall 0 is the best to the right
  CHECK(all.score[0][0] == 0.9);                           // though the first detection is wrong
  CHECK(all.score[0][25] == 0.8);
  CHECK(all.score[0][26] == 0.7);
  CHECK(all.precision[0][50] == doctest::Approx(2.0 / 3));
  CHECK(all.precision[0][51] == 0);
  const PrecisionCurves first = precision_curves(outcomes, 0, 1, 4);
  CHECK(first.recall[0] == 0.25);
  CHECK(first.precision[0][25] == doctest::Approx(0.5));
  CHECK(precision_curves(outcomes, 0, 100, 0).recall[3] == -1);
  CHECK(precision_curves({}, 0, 100, 4).precision[0][0] == 0);
}

TEST_CASE("accumulate: absent entries are left out of the mean") {
  CHECK(mean_of_present(std::vector{-1.0, 0.5, 1.0, -1.0}) == 0.75);
  CHECK(mean_of_present(std::vector{-1.0, -1.0}) == -1);
  std::vector<double> many(20001, 0.1);
  CHECK(mean_of_present(many) == doctest::Approx(0.1).epsilon(1e-15));
}

}  // namespace
}  // namespace tessera
