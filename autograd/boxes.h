// Differentiable box losses; see ops/boxes.h, whose other operators have no gradient.
#pragma once

#include "autograd/losses.h"

namespace tessera {

// boxes and targets [N, 4] as x1, y1, x2, y2 -> [N], or one number; the gradient is that of the boxes.
Var generalized_box_iou_loss(const Var& boxes, const Tensor& targets, Reduction reduction, double eps = 1e-7);
Var extended_box_iou_loss(const Var& boxes, const Tensor& targets, Reduction reduction, double eps = 1e-6);

}  // namespace tessera
