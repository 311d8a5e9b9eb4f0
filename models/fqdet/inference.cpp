#include "models/fqdet/inference.h"

#include <algorithm>

#include "models/fqdet/boxes.h"
#include "ops/anchors.h"
#include "ops/arrange.h"
#include "ops/boxes.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera::fqdet {

Predictions given_predictions(const Output& output, const Segmenter::Found& given) {
  const i64 K = output.class_logits.value().dim(1) - 1, B = output.selected.dim(0), n = output.selected.dim(1);
  TESSERA_CHECK(given.queries > 0 && given.queries <= std::min(n, given.objects) && given.objects <= given.queries * K,
                "fqdet: {} objects of {} queries are not to be had of {} queries and {} classes", given.objects,
                given.queries, n, K);
  std::vector<i64> query, classes, first = {0};
  for (i64 b = 0; b < B; ++b) {
    for (i64 i = 0; i < given.objects; ++i) {
      query.push_back(b * n + i % given.queries);
      classes.push_back(i / given.queries);
    }
    first.push_back(std::ssize(query));
  }
  const Device device = output.selected.device();
  const Tensor rows = Tensor::from(query).to(device);
  return {rows, Tensor::from(classes).to(device), Tensor::full({rows.numel()}, 1, DType::kF32, device),
          ops::gather_rows(decode(output.deltas.detach(), output.anchors).value(), rows), first};
}

Predictions find_predictions(const Output& output, const InferenceConfig& config, Candidates candidates) {
  const Tensor& logits = output.class_logits.value();  // [N, K + 1]
  const i64 N = logits.dim(0), K = logits.dim(1) - 1, B = output.selected.dim(0), n = output.selected.dim(1);
  Tensor scores = ops::sigmoid(ops::slice(logits, 1, 0, K));  // [N, K]
  if (output.box_scores) scores = ops::mul(scores, ops::sigmoid(output.box_scores.value()).reshape({N, 1}));
  Tensor best_class;  // i64 [N]
  if (candidates == Candidates::kBestClass) {
    const ops::MaxResult best = ops::max(scores, 1);
    scores = best.values;
    best_class = best.indices;
  }

  const i64 each = candidates == Candidates::kBestClass ? 1 : K;  // candidates of a query
  const i64 k = std::min(config.candidates, n * each);
  const ops::TopKResult best = ops::top_k(scores.reshape({B, n * each}), k);  // [B, k]
  // A candidate is a pair of a query and a class, as an anchor is one of a cell and a kind.
  const ops::AnchorRows pairs = ops::anchor_rows(best.indices, n, each);
  const Tensor labels = best_class.defined() ? ops::gather_rows(best_class, pairs.cell) : pairs.kind;  // [B k]
  const Tensor boxes =
      ops::gather_rows(decode(output.deltas.detach(), output.anchors).value(), pairs.cell);  // [B k, 4]

  const Tensor of_scores = best.values.reshape({B * k});

  std::vector<Tensor> query, classes, kept_scores, kept_boxes;
  std::vector<i64> first = {0};
  for (i64 b = 0; b < B; ++b) {
    const auto of_picture = [&](const Tensor& x) { return x.rows(b * k, (b + 1) * k); };
    const Tensor all =
        ops::batched_nms(of_picture(boxes), of_picture(of_scores), of_picture(labels), config.nms_threshold);
    const Tensor kept = all.rows(0, std::min(config.detections, all.dim(0)));
    query.push_back(ops::gather_rows(of_picture(pairs.cell), kept));
    classes.push_back(ops::gather_rows(of_picture(labels), kept));
    kept_scores.push_back(ops::gather_rows(of_picture(of_scores), kept));
    kept_boxes.push_back(ops::gather_rows(of_picture(boxes), kept));
    first.push_back(first.back() + kept.dim(0));
  }
  return {ops::concat(query, 0), ops::concat(classes, 0), ops::concat(kept_scores, 0), ops::concat(kept_boxes, 0),
          first};
}

}  // namespace tessera::fqdet
