#include "models/roi_heads/panoptic.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/resize.h"
#include "ops/arrange.h"
#include "ops/grid_sample.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera::roi_heads {

namespace {

constexpr float kMask = 0.5f;  // a pixel above belongs to a mask

double iou(i64 common, i64 a, i64 b) {
  return static_cast<double>(common) / static_cast<double>(a + b - common);
}

bool is_sure(float score, const PanopticConfig& config) {
  return double{score} > config.score_threshold;
}

// Rows of a tensor by number, which the host knows.
Tensor rows_of(const Tensor& x, const std::vector<i64>& rows) {
  return ops::gather_rows(x, Tensor::from(rows).to(x.device()));
}

// Steps 1 and 2: the candidates with their predictions alone, and the areas of their masks.
std::vector<i64> suppress(const Tensor& probabilities, std::span<const float> scores, const PanopticConfig& config,
                          std::vector<PanopticSegments::Candidate>& candidates) {
  std::vector<i64> order;
  for (i64 n = 0; n < static_cast<i64>(scores.size()); ++n)
    if (is_sure(scores[n], config)) order.push_back(n);
  std::ranges::stable_sort(order, [&](i64 a, i64 b) { return scores[a] > scores[b]; });
  if (order.empty()) return {};

  const float above = std::nextafter(kMask, 1.0f);
  const Tensor inside = ops::greater_equal(rows_of(probabilities, order), above).to_host();  // u8 [K, h, w]
  std::vector<Rle> masks;
  std::vector<i64> all_areas, areas;
  for (i64 k = 0; k < inside.dim(0); ++k) {
    masks.push_back(encode_rle(inside.rows(k, k + 1).reshape({inside.dim(1), inside.dim(2)})));
    all_areas.push_back(rle_area(masks.back()));
    bool apart = all_areas[k] > 0;
    for (i64 j = 0; j < k && apart; ++j)
      apart = all_areas[j] == 0 ||
              iou(rle_common_area(masks[k], masks[j]), all_areas[k], all_areas[j]) < config.nms_threshold;
    if (!apart) continue;
    candidates.push_back({order[k], 0, 0, false});
    areas.push_back(all_areas[k]);
  }
  return areas;
}

// Step 3: of each pixel the candidate that it goes to, i64 [h, w], and its probability there, on the host.
struct Owners {
  Tensor candidate, probability;
};
Owners owners(const Tensor& probabilities, const Tensor& scores,
              const std::vector<PanopticSegments::Candidate>& candidates) {
  const i64 K = static_cast<i64>(candidates.size()), P = probabilities.dim(1) * probabilities.dim(2);
  std::vector<i64> predictions;
  for (const PanopticSegments::Candidate& candidate : candidates) predictions.push_back(candidate.prediction);
  const Tensor p = rows_of(probabilities, predictions).reshape({K, P});
  const Tensor s = rows_of(scores, predictions).reshape({K, 1});
  const Tensor owner = ops::max(ops::mul(p, s), 0).indices.to_host();  // [P]
  std::vector<i64> places;                                             // of the owners' probabilities in p
  places.reserve(static_cast<size_t>(P));
  for (i64 at = 0; at < P; ++at) places.push_back(owner.data<i64>()[at] * P + at);
  return {owner, rows_of(p.reshape({K * P}), places).to_host()};
}

}  // namespace

i64 sure_predictions(const Tensor& scores, const PanopticConfig& config) {
  const Tensor host = scores.to_host();
  return std::ranges::count_if(host.span<float>(), [&](float score) { return is_sure(score, config); });
}

PanopticSegments panoptic_segments(const Tensor& probabilities, const Tensor& classes, const Tensor& scores,
                                   const PanopticConfig& config) {
  TESSERA_CHECK(
      probabilities.rank() == 3 && classes.shape() == Shape{probabilities.dim(0)} &&
          scores.shape() == classes.shape() && classes.dtype() == DType::kI64,
      "panoptic segments: expected probabilities [N, h, w], classes i64 [N] and scores [N], got {}, {} {}, {}",
      probabilities.shape(), name_of(classes.dtype()), classes.shape(), scores.shape());
  const Tensor labels = classes.to_host(), host_scores = scores.to_host();
  const i64 h = probabilities.dim(1), w = probabilities.dim(2);
  PanopticSegments result;
  result.ids = Tensor::zeros({h, w}, DType::kI64);
  std::vector<PanopticSegments::Candidate>& candidates = result.candidates;
  const std::vector<i64> areas = suppress(probabilities, host_scores.span<float>(), config, candidates);
  if (candidates.empty()) return result;

  const auto [owner, probability] = owners(probabilities, scores, candidates);
  const auto stays = [&](i64 at) { return double{probability.data<float>()[at]} > config.pixel_threshold; };
  std::vector<i64> common(candidates.size());  // pixels that are in the mask too
  for (i64 at = 0; at < h * w; ++at) {
    const i64 k = owner.data<i64>()[at];
    if (!stays(at)) continue;
    ++candidates[k].area;
    common[k] += probability.data<float>()[at] > kMask;
  }
  std::vector<i64> id_of(candidates.size());  // 0: void
  std::map<i64, std::vector<size_t>> stuff;   // candidates by class
  const auto add = [&](size_t k, double score) {
    const i64 prediction = candidates[k].prediction;
    result.segments.push_back({labels.data<i64>()[prediction], score, prediction});
    return static_cast<i64>(result.segments.size());
  };
  const auto score_of = [&](size_t k) { return double{host_scores.data<float>()[candidates[k].prediction]}; };
  for (size_t k = 0; k < candidates.size(); ++k) {
    PanopticSegments::Candidate& candidate = candidates[k];
    candidate.overlap = iou(common[k], areas[k], candidate.area);
    candidate.kept = candidate.overlap > config.least_overlap && candidate.area > config.least_area;
    if (!candidate.kept) continue;
    const i64 label = labels.data<i64>()[candidate.prediction];
    if (label < config.things)
      id_of[k] = add(k, score_of(k));
    else
      stuff[label].push_back(k);
  }
  for (const auto& [label, merged] : stuff) {
    double sum = 0;
    for (const size_t k : merged) sum += score_of(k);
    const i64 id = add(merged[0], sum / static_cast<double>(merged.size()));
    for (const size_t k : merged) id_of[k] = id;
  }
  for (i64 at = 0; at < h * w; ++at)
    if (stays(at)) result.ids.data<i64>()[at] = id_of[owner.data<i64>()[at]];
  return result;
}

std::vector<Instance> panoptic_instances(const PanopticSegments& segments, std::span<const i64> queries,
                                         ImageSize resized, ImageSize original) {
  const i64 n = static_cast<i64>(segments.segments.size()), width = segments.ids.dim(1);
  TESSERA_CHECK(resized.height <= segments.ids.dim(0) && resized.width <= width,
                "panoptic segments: the picture {} x {} is larger than the padded input {}", resized.height,
                resized.width, segments.ids.shape());
  if (n == 0) return {};
  Tensor planes = Tensor::zeros({n, resized.height, resized.width}, DType::kU8);
  for (i64 y = 0; y < resized.height; ++y)
    for (i64 x = 0; x < resized.width; ++x)
      if (const i64 id = segments.ids.data<i64>()[y * width + x]; id > 0)
        planes.data<u8>()[((id - 1) * resized.height + y) * resized.width + x] = 1;
  const Tensor masks = resize_nearest(planes, original, Nearest::kPyTorch);
  std::vector<Instance> instances;
  for (i64 i = 0; i < n; ++i) {
    Rle mask = encode_rle(masks.rows(i, i + 1).reshape({original.height, original.width}));
    const auto& [class_index, score, prediction] = segments.segments[i];
    if (rle_area(mask) > 0)
      instances.push_back(Instance::of_mask(class_index, score, std::move(mask), queries[prediction]));
  }
  return instances;
}

Tensor paste_probabilities(const Tensor& probabilities, const Tensor& boxes, ImageSize padded) {
  const i64 N = probabilities.dim(0), S = probabilities.dim(1), h = padded.height, w = padded.width;
  const Tensor corners = boxes.to_host();
  Tensor pasted = Tensor::empty({N, h, w}, DType::kF32, probabilities.device());
  // Where the centres of an axis' pixels lie in a box, from -1 to 1.
  const auto axis = [&](i64 n, i64 side, const Shape& shape) {
    const float from = corners.data<float>()[n * 4 + side], to = corners.data<float>()[n * 4 + side + 2];
    Tensor at = Tensor::empty(shape);
    for (i64 i = 0; i < at.numel(); ++i)
      at.data<float>()[i] = (static_cast<float>(i) + 0.5f - from) / (to - from) * 2 - 1;
    return ops::broadcast_to(at.to(probabilities.device()), {1, h, w, 1});
  };
  for (i64 n = 0; n < N; ++n) {
    const Tensor grid = ops::concat({axis(n, 0, {1, 1, w, 1}), axis(n, 1, {1, h, 1, 1})}, 3);
    const Tensor p = ops::grid_sample(probabilities.rows(n, n + 1).reshape({1, S, S, 1}), grid);
    ops::slice_into(p.reshape({1, h, w}), pasted, 0, n);
  }
  return pasted;
}

}  // namespace tessera::roi_heads
