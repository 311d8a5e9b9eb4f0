// Differentiable losses; ops/losses.h states the formulas. Targets carry no gradient. Logits are the raw network
// outputs, before any sigmoid or softmax.
#pragma once

#include "autograd/var.h"
#include "ops/losses.h"

namespace tessera {

using ops::Reduction;  // kNone, kSum, kMean

// clang-format off
// Elementwise: x and targets of one shape. Loss: a struct of ops/scalar/losses.h
Var element_loss(const ops::ElementLossTable& kernels, const ops::ElementLossBackwardTable& backward, const Var& x,
                 const Tensor& targets, const ops::LossParams& params, Reduction reduction);
template <class Loss>
Var element_loss(const Var& x, const Tensor& targets, const ops::LossParams& params, Reduction reduction) {
  return element_loss(ops::element_loss_kernels<Loss>, ops::element_loss_backward_kernels<Loss>, x, targets, params,
                      reduction);
}
inline Var sigmoid_focal_loss(const Var& logits, const Tensor& targets, double alpha, double gamma, Reduction reduction) {
  return element_loss<scalar::SigmoidFocal>(logits, targets, {.alpha = alpha, .gamma = gamma}, reduction);
}
inline Var binary_cross_entropy_with_logits(const Var& logits, const Tensor& targets, Reduction reduction) {
  return element_loss<scalar::BinaryCrossEntropy>(logits, targets, {}, reduction);
}
inline Var l1_loss(const Var& x, const Tensor& targets, Reduction reduction) {
  return element_loss<scalar::L1>(x, targets, {}, reduction);
}
inline Var quality_focal_loss(const Var& logits, const Tensor& targets, Reduction reduction) {
  return element_loss<scalar::QualityFocal>(logits, targets, {}, reduction);
}
inline Var smooth_l1_loss(const Var& x, const Tensor& targets, double beta, Reduction reduction) {
  return element_loss<scalar::SmoothL1>(x, targets, {.beta = beta}, reduction);
}

Var dice_loss(const Var& logits, const Tensor& targets, double eps, Reduction reduction);  // [R, ...] -> [R]
Var cross_entropy(const Var& logits, const Tensor& classes, Reduction reduction);          // [R, K], i64 [R] -> [R]
// clang-format on

}  // namespace tessera
