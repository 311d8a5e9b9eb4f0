#include "models/fqdet/matching.h"

#include <algorithm>

#include "ops/anchors.h"
#include "ops/arrange.h"
#include "ops/assignment.h"
#include "ops/boxes.h"

namespace tessera::fqdet {

namespace {

constexpr i64 kAtOnce = 16;  // objects whose IoUs with all anchors exist at the same time

}  // namespace

GroundTruth ground_truth_of(const Batch& batch, i64 num_classes, Device device) {
  const i64 T = batch.objects(), K = num_classes;
  Tensor boxes = Tensor::empty({T, 4}), one_hot = Tensor::zeros({T + 1, K + 1}),
         picture = Tensor::empty({T}, DType::kI64);
  i64 t = 0;
  for (i64 b = 0; b < batch.size(); ++b) {
    const Sample& sample = batch.samples[static_cast<size_t>(b)];
    if (sample.targets.count() == 0) continue;
    const std::span<const float> corners = sample.targets.boxes.span<float>();
    std::ranges::copy(corners, boxes.data<float>() + 4 * t);
    for (const i64 label : sample.targets.classes.span<i64>()) {
      TESSERA_CHECK(0 <= label && label < K, "fqdet targets: {} has class {}, the model has {} classes", sample.name(),
                    label, K);
      one_hot.data<float>()[t * (K + 1) + label] = 1;
      picture.data<i64>()[t++] = b;
    }
  }
  one_hot.data<float>()[T * (K + 1) + K] = 1;
  return {boxes.to(device), one_hot.to(device), picture.to(device)};
}

Tensor ranked_anchors(const Tensor& all_anchors, const Tensor& boxes, i64 ranks) {
  const i64 T = boxes.dim(0), R = std::min(ranks, all_anchors.dim(0));
  std::vector<Tensor> ranked = {Tensor::empty({0, R}, DType::kI64, boxes.device())};
  for (i64 begin = 0; begin < T; begin += kAtOnce) {
    const Tensor some = boxes.rows(begin, std::min(begin + kAtOnce, T));
    ranked.push_back(ops::top_k(ops::box_iou(some, all_anchors), R).indices);
  }
  return ops::concat(ranked, 0);
}

Tensor selection_targets(const Tensor& ranked, const GroundTruth& truth, i64 pictures, i64 anchors, i64 ranks) {
  const i64 T = truth.count(), R = std::min(ranks, ranked.dim(1));
  const std::vector<Tensor> columns(static_cast<size_t>(R), truth.picture.reshape({T, 1}));
  return ops::indicator_matrix(ops::concat(columns, 1).reshape({T * R}), ops::slice(ranked, 1, 0, R).reshape({T * R}),
                               pictures, anchors);
}

QueryMatches match_queries(const Tensor& ranked, const GroundTruth& truth, i64 ranks, const Tensor& selected) {
  const Tensor wanted = ops::slice(ranked, 1, 0, std::min(ranks, ranked.dim(1)));
  const auto [owner, query, object] = ops::match_anchors(wanted, truth.picture, selected);
  return {owner, {query, object}};
}

}  // namespace tessera::fqdet
