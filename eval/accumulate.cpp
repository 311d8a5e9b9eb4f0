#include "eval/accumulate.h"

#include <algorithm>
#include <limits>

namespace tessera {

namespace {

constexpr size_t kT = kIouThresholds.size();

// Precision can only fall between right detections, and only they raise the recall: the curve is known from its values
// there.
struct Hit {
  double precision, score;
};

}  // namespace

PrecisionCurves precision_curves(std::span<const ScoredOutcome> outcomes, size_t area, u32 limit, i64 positives) {
  PrecisionCurves curves;
  if (positives == 0) {
    for (size_t t = 0; t < kT; ++t) {
      curves.precision[t].fill(-1);
      curves.score[t].fill(-1);
    }
    curves.recall.fill(-1);
    return curves;
  }

  std::array<std::vector<Hit>, kT> hits;
  std::array<u32, kT> right{}, wrong{};
  for (const ScoredOutcome& outcome : outcomes) {
    if (outcome.rank >= limit) continue;
    const unsigned counted = kAllThresholds & ~outcome.match.ignored[area];
    const unsigned hit = counted & outcome.match.matched[area], miss = counted & ~outcome.match.matched[area];
    for (size_t t = 0; t < kT; ++t) {
      right[t] += hit >> t & 1;
      wrong[t] += miss >> t & 1;
    }
    for (size_t t = 0; t < kT && hit >> t != 0; ++t) {
      if (!(hit >> t & 1)) continue;
      const double r = right[t], w = wrong[t];
      hits[t].push_back({r / (w + r + std::numeric_limits<double>::epsilon()), outcome.score});
    }
  }
  const auto first = std::find_if(outcomes.begin(), outcomes.end(), [&](const auto& o) { return o.rank < limit; });

  for (size_t t = 0; t < kT; ++t) {
    std::vector<Hit>& curve = hits[t];
    for (size_t i = curve.size(); i-- > 1;)
      curve[i - 1].precision = std::max(curve[i - 1].precision, curve[i].precision);
    const double n = static_cast<double>(positives);
    size_t i = 0;
    for (int step = 0; step < kRecallSteps; ++step) {
      while (i < curve.size() && static_cast<double>(i + 1) / n < step * 0.01) ++i;
      curves.precision[t][step] = i < curve.size() ? curve[i].precision : 0;
      curves.score[t][step] = i < curve.size() ? curve[i].score : 0;
    }
    // Recall 0 is reached by the very first detection, right or wrong.
    if (first != outcomes.end()) curves.score[t][0] = first->score;
    curves.recall[t] = static_cast<double>(curve.size()) / n;
  }
  return curves;
}

namespace {

// Pairwise sum: error grows with log n. The block sizes are those of NumPy 1.24.
double pairwise_sum(std::span<const double> v) {
  const size_t n = v.size();
  if (n < 8) {
    double sum = 0;
    for (const double x : v) sum += x;
    return sum;
  }
  if (n <= 128) {
    std::array<double, 8> lane;
    std::copy_n(v.begin(), 8, lane.begin());
    size_t i = 8;
    for (; i + 8 <= n; i += 8)
      for (size_t j = 0; j < 8; ++j) lane[j] += v[i + j];
    double sum = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    for (; i < n; ++i) sum += v[i];
    return sum;
  }
  const size_t half = n / 2 / 8 * 8;
  return pairwise_sum(v.first(half)) + pairwise_sum(v.subspan(half));
}

}  // namespace

double mean_of_present(std::span<const double> values) {
  std::vector<double> present;
  present.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(present), [](double v) { return v > -1; });
  if (present.empty()) return -1;
  constexpr size_t kChunk = 8192;  // summed one after the other
  double sum = 0;
  for (size_t i = 0; i < present.size(); i += kChunk)
    sum += pairwise_sum(std::span(present).subspan(i, std::min(kChunk, present.size() - i)));
  return sum / static_cast<double>(present.size());
}

}  // namespace tessera
