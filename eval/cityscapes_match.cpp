#include "eval/cityscapes_match.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace tessera {

namespace {

constexpr i64 kLeastPixels = 100;  // of an object that is counted

}  // namespace

void judge_cityscapes(const CityscapesScene& scene, double threshold, CityscapesEvidence& evidence) {
  std::vector<std::optional<double>> best(scene.truths.size());  // highest confidence of those that overlap it enough
  std::vector<u8> overlaps(scene.found.size(), 0);               // anything enough
  std::vector<i64> ignored(scene.found.size());
  for (size_t d = 0; d < scene.found.size(); ++d) ignored[d] = scene.found[d].ignored;

  for (const CityscapesScene::Pair& pair : scene.pairs) {
    const CityscapesScene::Truth& truth = scene.truths[pair.truth];
    if (!truth.is_object) ignored[pair.found] += pair.common;
    if (truth.pixels < kLeastPixels) ignored[pair.found] += pair.common;
    if (!(pair.overlap > threshold)) continue;
    overlaps[pair.found] = 1;
    if (!truth.is_object || truth.pixels < kLeastPixels) continue;
    const double confidence = scene.found[pair.found].confidence;
    std::optional<double>& highest = best[pair.truth];
    if (highest) evidence.examples.push_back({std::min(*highest, confidence), false});
    highest = std::max(highest.value_or(confidence), confidence);
  }
  for (size_t g = 0; g < scene.truths.size(); ++g) {
    if (!scene.truths[g].is_object || scene.truths[g].pixels < kLeastPixels) continue;
    evidence.counted = true;
    if (best[g])
      evidence.examples.push_back({*best[g], true});
    else
      ++evidence.missed;
  }
  for (size_t d = 0; d < scene.found.size(); ++d) {
    const double share = static_cast<double>(ignored[d]) / static_cast<double>(scene.found[d].pixels);
    if (!overlaps[d] && share <= threshold) evidence.examples.push_back({scene.found[d].confidence, false});
  }
}

double cityscapes_ap(CityscapesEvidence evidence) {
  if (!evidence.counted) return std::numeric_limits<double>::quiet_NaN();
  std::vector<CityscapesExample>& examples = evidence.examples;
  if (examples.empty()) return 0;
  std::ranges::sort(examples, {}, &CityscapesExample::confidence);
  const double right = static_cast<double>(std::ranges::count(examples, true, &CityscapesExample::right));
  const double objects = right + static_cast<double>(evidence.missed);

  // One point per confidence, from the lowest: what is kept when only detections at least that sure count.
  std::vector<double> precision, recall;
  double right_below = 0;
  for (size_t i = 0; i < examples.size();) {
    const double kept = static_cast<double>(examples.size() - i), hits = right - right_below;
    precision.push_back(hits / kept);
    recall.push_back(hits / objects);
    const double confidence = examples[i].confidence;
    for (; i < examples.size() && examples[i].confidence == confidence; ++i) right_below += examples[i].right;
  }
  precision.push_back(1);
  recall.push_back(0);

  double area = 0;
  for (size_t i = 0; i < precision.size(); ++i) {  // each point stands for half the way to both its neighbours
    const double before = recall[i == 0 ? 0 : i - 1], after = i + 1 < recall.size() ? recall[i + 1] : 0;
    area += precision[i] * 0.5 * (before - after);
  }
  return area;
}

}  // namespace tessera
