#include "models/fassst/inference.h"

#include <algorithm>

#include "models/fassst/boxes.h"
#include "ops/arrange.h"
#include "ops/boxes.h"
#include "ops/paste_masks.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera::fassst {

namespace {

constexpr i64 kAtOnce = 8;  // masks at full size at the same time

// Rows of the boxes, by falling score, of equal scores the lower one first.
std::vector<i64> suppressed(const std::vector<i64>& rows, const Tensor& boxes, const Tensor& scores,
                            const Tensor& classes, double threshold) {
  const Tensor chosen = Tensor::from(rows);
  const Tensor kept = ops::batched_nms(ops::gather_rows(boxes, chosen), ops::gather_rows(scores, chosen),
                                       ops::gather_rows(classes, chosen), threshold);
  std::vector<i64> left;
  for (const i64 k : kept.span<i64>()) left.push_back(rows[static_cast<size_t>(k)]);
  return left;
}

}  // namespace

Predictions find_predictions(const Tensor& raw, const AttentionConfig& attention, const InferenceConfig& config) {
  const Tensor host = raw.to_host();
  const i64 B = host.dim(0), cells = host.dim(1) * host.dim(2), width = host.dim(3);
  const Tensor boxes = cut_to_frame(decode(Var(host), attention.boxes).value());  // [B cells, 4]
  const Tensor s = ops::sigmoid(ops::slice(host.reshape({B * cells, width}), 1, 4, width));
  const ops::MaxResult best = ops::max(ops::slice(s, 1, 1, width - 4), 1);
  const Tensor scores = ops::mul(ops::slice(s, 1, 0, 1).reshape({B * cells}), best.values);
  check_found("scores", scores);

  Predictions found;
  found.first = {0};
  std::vector<i64> all;
  for (i64 b = 0; b < B; ++b) {
    std::vector<i64> rows;
    for (i64 row = b * cells; row < (b + 1) * cells; ++row)
      if (double{scores.data<float>()[row]} >= config.score_threshold) rows.push_back(row);
    std::ranges::stable_sort(rows, std::ranges::greater(), [&](i64 row) { return scores.data<float>()[row]; });
    if (config.nms_threshold > 0 && !rows.empty())
      rows = suppressed(rows, boxes, scores, best.indices, config.nms_threshold);
    if (std::ssize(rows) > config.detections) rows.resize(static_cast<size_t>(config.detections));
    for (const i64 row : rows) {
      found.picture.push_back(b);
      found.cell.push_back(row - b * cells);
      found.classes.push_back(best.indices.data<i64>()[row]);
      found.scores.push_back(scores.data<float>()[row]);
    }
    all.insert(all.end(), rows.begin(), rows.end());
    found.first.push_back(std::ssize(all));
  }
  found.boxes = ops::gather_rows(boxes, Tensor::from(all));
  return found;
}

Tensor to_original(const Tensor& boxes, ImageSize input, ImageSize resized, ImageSize original) {
  Tensor result = Tensor::empty(boxes.shape());
  const auto along = [](float edge, i64 from, i64 part, i64 to) {
    const double place = double{edge} * static_cast<double>(from) * static_cast<double>(to) / static_cast<double>(part);
    return static_cast<float>(std::clamp(place, 0.0, static_cast<double>(to)));
  };
  for (i64 p = 0; p < boxes.dim(0); ++p) {
    const float* box = boxes.data<float>() + 4 * p;
    float* out = result.data<float>() + 4 * p;
    for (const int k : {0, 2}) {
      out[k] = along(box[k + 1], input.width, resized.width, original.width);
      out[k + 1] = along(box[k], input.height, resized.height, original.height);
    }
  }
  return result;
}

std::vector<Rle> picture_masks(const Tensor& probabilities, const Tensor& boxes, ImageSize original) {
  std::vector<Rle> masks;
  const Tensor there = boxes.to(probabilities.device());
  for (i64 begin = 0; begin < boxes.dim(0); begin += kAtOnce) {
    const i64 end = std::min(begin + kAtOnce, boxes.dim(0));
    const ops::PastedMasks pasted =
        ops::paste_masks(probabilities.rows(begin, end), there.rows(begin, end), original.height, original.width);
    const Tensor bytes = pasted.masks.to_host();
    for (i64 k = 0; k < end - begin; ++k)
      masks.push_back(encode_rle(bytes.rows(k, k + 1).reshape({original.height, original.width})));
  }
  return masks;
}

}  // namespace tessera::fassst
