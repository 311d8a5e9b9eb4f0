#include "eval/tide_match.h"

#include <algorithm>

namespace tessera {

namespace {

constexpr double kForeground = 0.5, kBackground = 0.1;

class Judge {
 public:
  explicit Judge(const TideScene& scene) : scene_(scene) {
    TESSERA_CHECK(
        scene.regular <= scene.truths.size() && scene.overlaps.size() == scene.found.size() * scene.truths.size(),
        "judge_tide: {} overlaps for {} x {}", scene.overlaps.size(), scene.found.size(), scene.truths.size());
    TESSERA_CHECK(scene.excused.empty() || scene.excused.size() == scene.found.size(),
                  "judge_tide: {} excuses for {} detections", scene.excused.size(), scene.found.size());
    outcome_.verdicts.resize(scene.found.size());
  }

  TideOutcome run() {
    for (size_t t = 1; t < kTideThresholds; ++t) match(t);
    outcome_.used = match(0);
    for (size_t d = 0; d < scene_.found.size(); ++d)
      if (outcome_.verdicts[d][0] != TideVerdict::kRight) outcome_.mistakes.push_back(mistake_of(d));
    std::vector<u8> has_mistake(scene_.regular, 0);
    for (const TideMistake& mistake : outcome_.mistakes)
      if (mistake.partner >= 0) has_mistake[static_cast<size_t>(mistake.partner)] = 1;
    for (size_t g = 0; g < scene_.regular; ++g)
      if (!outcome_.used[g] && !has_mistake[g]) outcome_.mistakes.push_back({TideError::kMiss, g});
    return std::move(outcome_);
  }

 private:
  double overlap(size_t d, size_t g) const { return scene_.overlaps[d * scene_.truths.size() + g]; }
  bool excused(size_t d) const { return !scene_.excused.empty() && scene_.excused[d]; }
  bool same_class(size_t d, size_t g) const { return scene_.found[d] == scene_.truths[g]; }

  // Returns which objects were found.
  std::vector<u8> match(size_t t) {
    std::vector<u8> taken(scene_.regular, 0);
    for (size_t d = 0; d < scene_.found.size(); ++d) {
      size_t best = scene_.regular;
      for (size_t g = 0; g < scene_.regular; ++g) {
        if (taken[g] || !same_class(d, g) || overlap(d, g) < tide_threshold(t)) continue;
        if (best == scene_.regular || overlap(d, g) > overlap(d, best)) best = g;
      }
      TideVerdict& verdict = outcome_.verdicts[d][t];
      verdict = excused(d) ? TideVerdict::kIgnored : TideVerdict::kWrong;
      if (best < scene_.regular) {
        verdict = TideVerdict::kRight;
        taken[best] = 1;
        continue;
      }
      for (size_t g = scene_.regular; g < scene_.truths.size(); ++g)
        if (same_class(d, g) && overlap(d, g) > tide_threshold(t)) verdict = TideVerdict::kIgnored;
    }
    return taken;
  }

  TideMistake mistake_of(size_t d) const {
    double same = 0, other = 0, used = 0;  // the greatest overlaps with objects of its class, of another, of its used
    i64 same_partner = -1, other_partner = -1;
    for (size_t g = 0; g < scene_.regular; ++g) {
      double& greatest = same_class(d, g) ? same : other;
      if (overlap(d, g) > greatest) {
        greatest = overlap(d, g);
        (same_class(d, g) ? same_partner : other_partner) = static_cast<i64>(g);
      }
      if (same_class(d, g) && outcome_.used[g]) used = std::max(used, overlap(d, g));
    }
    const bool counted = outcome_.verdicts[d][0] == TideVerdict::kWrong;
    if (kBackground <= same && same <= kForeground) return {TideError::kLoc, d, same_partner, counted};
    if (other >= kForeground) return {TideError::kCls, d, other_partner, counted};
    if (used >= kForeground) return {TideError::kDupe, d, -1, counted};
    if (std::max(same, other) <= kBackground) return {TideError::kBkg, d, -1, counted};
    return {TideError::kBoth, d, -1, counted};
  }

  const TideScene& scene_;
  TideOutcome outcome_;
};

}  // namespace

TideOutcome judge_tide(const TideScene& scene) {
  return Judge(scene).run();
}

}  // namespace tessera
