#include "autograd/losses.h"

namespace tessera {

Var sigmoid_focal_loss(const Var& logits, const Tensor& targets, double alpha, double gamma, Reduction reduction) {
  const Tensor& x = logits.value();
  return record("sigmoid_focal_loss", ops::sigmoid_focal_loss(x, targets, alpha, gamma, reduction), {logits},
                [x, targets, alpha, gamma, reduction](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::sigmoid_focal_loss_backward(gy, x, targets, alpha, gamma, reduction));
                });
}

Var binary_cross_entropy_with_logits(const Var& logits, const Tensor& targets, Reduction reduction) {
  const Tensor& x = logits.value();
  return record("binary_cross_entropy_with_logits", ops::binary_cross_entropy_with_logits(x, targets, reduction),
                {logits}, [x, targets, reduction](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::binary_cross_entropy_with_logits_backward(gy, x, targets, reduction));
                });
}

Var dice_loss(const Var& logits, const Tensor& targets, double eps, Reduction reduction) {
  const Tensor& x = logits.value();
  return record("dice_loss", ops::dice_loss(x, targets, eps, reduction), {logits},
                [x, targets, eps, reduction](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::dice_loss_backward(gy, x, targets, eps, reduction));
                });
}

Var cross_entropy(const Var& logits, const Tensor& classes, Reduction reduction) {
  const Tensor& x = logits.value();
  return record("cross_entropy", ops::cross_entropy(x, classes, reduction), {logits},
                [x, classes, reduction](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::cross_entropy_backward(gy, x, classes, reduction));
                });
}

Var l1_loss(const Var& x_, const Tensor& targets, Reduction reduction) {
  const Tensor& x = x_.value();
  return record("l1_loss", ops::l1_loss(x, targets, reduction), {x_},
                [x, targets, reduction](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::l1_loss_backward(gy, x, targets, reduction));
                });
}

Var smooth_l1_loss(const Var& x_, const Tensor& targets, double beta, Reduction reduction) {
  const Tensor& x = x_.value();
  return record("smooth_l1_loss", ops::smooth_l1_loss(x, targets, beta, reduction), {x_},
                [x, targets, beta, reduction](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::smooth_l1_loss_backward(gy, x, targets, beta, reduction));
                });
}

}  // namespace tessera
