// The training loss of FQDet. All terms are sums over the batch, without division by any number of objects.
#pragma once

#include <vector>

#include "models/fqdet/matching.h"
#include "models/segmenter.h"

namespace tessera::fqdet {

// M matched queries, p predicted and t true boxes; weights applied.
//   loss_sel     sigmoid focal loss (alpha 0.25, gamma 2) of all anchors, towards the selection's targets
//   loss_cls     of all queries and K + 1 classes, those without an object towards class K:
//                paper    the same focal loss towards the one-hot class
//                release  quality focal loss towards the one-hot class times IoU(p, t)
//   loss_box     paper    |deltas - those of t|, over M and 4 coordinates
//                release  extended IoU loss of p and t
//   loss_score   |box score - logit of IoU(p, t)|, with a box-score head; the box gets no gradient of it
// Without any match the last two are 0, with gradients of 0.
std::vector<LossTerm> loss_terms(const Output& output, const Tensor& selection_targets, const GroundTruth& truth,
                                 const QueryMatches& matched, const Config& config);

// What the box scores learn: log(max(iou, 0.001) / max(1 - iou, 0.001)).
Tensor score_targets(const Tensor& ious);

}  // namespace tessera::fqdet
