// Which anchors and which queries learn which object: static, by the IoU of the anchors alone.
//
// An object's anchors are ranked by their IoU with it. The selection learns that the best of them, ranks below
// selection_ranks, are positive. A query learns the object for which its anchor has a rank below query_ranks; of
// several objects that with the lowest rank, of equal ranks the first. Among equal IoUs the lower anchor comes first.
#pragma once

#include "data/sample.h"
#include "models/fqdet/head.h"

namespace tessera::fqdet {

// The T objects of a batch, one picture after the other.
struct GroundTruth {
  Tensor boxes;    // f32 [T, 4]: x1 y1 x2 y2
  Tensor one_hot;  // f32 [T + 1, K + 1]: 1 at the object's class; row T, of who has no object, at K
  Tensor picture;  // i64 [T]
  i64 count() const { return boxes.dim(0); }
};

GroundTruth ground_truth_of(const Batch& batch, i64 num_classes, Device device);

// The M matched queries, ascending.
struct Matches {
  Tensor query;   // i64 [M]: row of the N queries
  Tensor object;  // i64 [M]: row among the objects of the batch
  i64 count() const { return query.dim(0); }
};

// i64 [T, min(ranks, A)]: each object's anchors, the best first.
Tensor ranked_anchors(const Tensor& all_anchors, const Tensor& boxes, i64 ranks);

// f32 [B, A]: 1 for the anchors that the selection is to choose, else 0.
Tensor selection_targets(const Tensor& ranked, const GroundTruth& truth, i64 pictures, i64 anchors, i64 ranks);

// owner i64 [N]: the object of each query, T where it has none. The host waits to learn how many have one.
struct QueryMatches {
  Tensor owner;
  Matches matches;
};
QueryMatches match_queries(const Tensor& ranked, const GroundTruth& truth, i64 ranks, const Tensor& selected);

}  // namespace tessera::fqdet
