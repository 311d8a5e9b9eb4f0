// The training loss of FASSST, L = 5.75 Lm + 3 Ll + 1.25 Lc (Cheng et al., eq. 5), over a batch of B pictures with T
// objects, of which N cells learn one. Where N is 0 it counts as 1.
//
//   loss_object   3 / N     sum of FL(objectness) over all cells but those that are left out
//   loss_box      3 / N     sum over the positives of
//                           giou   1 - GIoU(box, true box); with side_weight w also w |log sides - true ones|
//                           focal  mean of (s - y)^2 BCE(s, y) over t, l, b, r, s the sigmoid          boxes as edges
//   loss_class    1.25 / N  sum of FL(class) over the positives and classes
//   loss_mask     5.75 / R  sum over R regions of 1 - (2 sum p q + 1) / (sum p^2 + sum q^2 + 1)
//
// FL is the sigmoid focal loss with alpha 0.25 and gamma 2. Left out are cells that learn nothing though the box that
// they predict has an IoU of 0.7 with an object.
#pragma once

#include <vector>

#include "models/fassst/assignment.h"
#include "models/fassst/config.h"
#include "models/segmenter.h"

namespace tessera::fassst {

// What the cells learn, on the device of the network.
struct CellTargets {
  i64 count = 0;     // N
  Tensor cell;       // i64 [N], of the batch
  Tensor boxes;      // [N, 4]: t, l, b, r of their objects
  Tensor one_hot;    // [N, K]
  Tensor positive;   // [B gh gw]: 1 for those, else 0
  Tensor all_boxes;  // [T, 4]
  Tensor same;       // [B gh gw, T]: 1 where cell and object are in one picture
};
CellTargets cell_targets(const Assignment& assignment, i64 pictures, const Config& config, Device device);

// f32 [B gh gw]: 0 where a cell is left out, else 1. boxes: of all cells, cut to the frame.
Tensor counted_cells(const Tensor& boxes, const CellTargets& targets);

// All but loss_mask; raw: of the attention module. boxes: decoded, not cut.
std::vector<LossTerm> cell_losses(const Var& raw, const Var& boxes, const Tensor& counted, const CellTargets& targets,
                                  const Config& config);

// The regions whose masks are learned in a step.
struct RegionTargets {
  Tensor positive;  // i64 [R]: of the N
  Tensor object;    // i64 [R]: of the T
  Tensor picture;   // i64 [R]
  Tensor boxes;     // [R, 4]: the true ones, t, l, b, r
  Tensor shift;     // [R, 4]: of the edges, as a part of height or width
};
// Of each picture `most` positives at most, drawn at random, and for each edge a shift from -10 % to 10 %.
RegionTargets draw_regions(const Assignment& assignment, const Batch& batch, i64 most, const StepContext& context,
                           Device device);

// Their boxes [R, 4] in the frame: the true ones with their edges shifted, or where `predicted`, cut boxes of the N
// positives, is defined and has an IoU of 0.5 with the true one, that.
Tensor training_boxes(const RegionTargets& regions, const Tensor& predicted);

// masks [T, H, W, 1] at the input's size, regions [R, 5] of objects -> 0 or 1, [R, S, S]: at least half of a cell (of
// 2 x 2 points) is in the object.
Tensor mask_targets(const Tensor& masks, const Tensor& regions, i64 S);

Var mask_loss(const Var& logits, const Tensor& targets);  // [R, S, S]; 0 without a region

}  // namespace tessera::fassst
