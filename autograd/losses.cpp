#include "autograd/losses.h"

namespace tessera {

namespace {

// A loss whose backward takes what its forward took, and gy before.
template <class Forward, class BackwardOf, class... Args>
Var loss(const char* op, Forward forward, BackwardOf backward, const Var& x, const Tensor& targets, Args... args) {
  return record(op, forward(x.value(), targets, args...), {x},
                [=, x = x.value()](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, backward(gy, x, targets, args...));
                });
}

}  // namespace

Var element_loss(const ops::ElementLossTable& kernels, const ops::ElementLossBackwardTable& backward, const Var& x,
                 const Tensor& targets, const ops::LossParams& params, Reduction reduction) {
  return loss(
      kernels.name(), [&](auto&... args) { return ops::element_loss(kernels, args...); },
      [&backward](auto&... args) { return ops::element_loss_backward(backward, args...); }, x, targets, params,
      reduction);
}

Var dice_loss(const Var& logits, const Tensor& targets, double eps, Reduction reduction) {
  return loss("dice_loss", ops::dice_loss, ops::dice_loss_backward, logits, targets, eps, reduction);
}

Var cross_entropy(const Var& logits, const Tensor& classes, Reduction reduction) {
  return loss("cross_entropy", ops::cross_entropy, ops::cross_entropy_backward, logits, classes, reduction);
}

}  // namespace tessera
