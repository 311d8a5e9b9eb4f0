// Differentiable losses; ops/losses.h states the formulas. Targets carry no gradient. Logits are the raw network
// outputs, before any sigmoid or softmax.
#pragma once

#include "autograd/var.h"
#include "ops/losses.h"

namespace tessera {

using ops::Reduction;  // kNone, kSum, kMean

Var sigmoid_focal_loss(const Var& logits, const Tensor& targets, double alpha, double gamma,
                       Reduction reduction);                                                          // same shapes
Var binary_cross_entropy_with_logits(const Var& logits, const Tensor& targets, Reduction reduction);  // same shapes
Var dice_loss(const Var& logits, const Tensor& targets, double eps, Reduction reduction);             // [R, ...] -> [R]
Var cross_entropy(const Var& logits, const Tensor& classes, Reduction reduction);  // [R, K], i64 [R] -> [R]
Var l1_loss(const Var& x, const Tensor& targets, Reduction reduction);
Var smooth_l1_loss(const Var& x, const Tensor& targets, double beta, Reduction reduction);

}  // namespace tessera
