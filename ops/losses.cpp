#include "ops/losses.h"

#include "ops/checks.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"

namespace tessera::ops {

namespace {

void check_same(const char* op, const Tensor& x, const Tensor& t) {
  TESSERA_CHECK(x.shape() == t.shape(), "{}: x {} and targets {} differ in shape", op, x.shape(), t.shape());
  TESSERA_CHECK(x.dtype() == t.dtype(), "{}: x is {}, targets are {}; convert the targets", op, name_of(x.dtype()),
                name_of(t.dtype()));
}

void check_not_negative(const char* op, const char* name, double value) {
  TESSERA_CHECK(value >= 0, "{}: {} must not be negative, got {}", op, name, value);
}

void check_rows(const char* op, const Tensor& x, const Tensor& t) {
  TESSERA_CHECK(x.rank() >= 1, "{}: x must be [R, ...], got {}", op, x.shape());
  check_same(op, x, t);
}

void check_classes(const char* op, const Tensor& x, const Tensor& classes) {
  TESSERA_CHECK(x.rank() == 2 && classes.rank() == 1 && classes.dim(0) == x.dim(0),
                "{}: x must be [R, K] and classes [R], got {} and {}", op, x.shape(), classes.shape());
  TESSERA_CHECK(classes.dtype() == DType::kI64, "{}: classes must be i64, got {}", op, name_of(classes.dtype()));
}

void check_gradient(const char* op, const Tensor& gy, const Tensor& x, const Shape& values, Reduction reduction) {
  const Shape expected = reduction == Reduction::kNone ? values : Shape{};
  TESSERA_CHECK(gy.shape() == expected && gy.dtype() == x.dtype(), "{}: gy must be {} {}, got {} {}", op,
                name_of(x.dtype()), expected, name_of(gy.dtype()), gy.shape());
}

Tensor result(const Tensor& x, const Shape& values, Reduction reduction) {
  return Tensor::empty(reduction == Reduction::kNone ? values : Shape{}, x.dtype(), x.device());
}

}  // namespace

Tensor element_loss(const ElementLossTable& kernels, const Tensor& x, const Tensor& t, const LossParams& params,
                    Reduction reduction) {
  check_same(kernels.name(), x, t);
  check_not_negative(kernels.name(), "gamma", params.gamma);
  check_not_negative(kernels.name(), "beta", params.beta);
  Tensor y = result(x, x.shape(), reduction);
  kernels(x, t, params, reduction, y);
  return y;
}

Tensor element_loss_backward(const ElementLossBackwardTable& kernels, const Tensor& gy, const Tensor& x,
                             const Tensor& t, const LossParams& params, Reduction reduction) {
  check_same(kernels.name(), x, t);
  check_gradient(kernels.name(), gy, x, x.shape(), reduction);
  Tensor gx = empty_like(x);
  kernels(gy, x, t, params, reduction, gx);
  return gx;
}

Tensor dice_loss(const Tensor& x, const Tensor& t, double eps, Reduction reduction) {
  check_rows("dice_loss", x, t);
  check_not_negative("dice_loss", "eps", eps);
  Tensor y = result(x, {x.dim(0)}, reduction);
  dice_loss_kernels(x, t, eps, reduction, y);
  return y;
}

Tensor dice_loss_backward(const Tensor& gy, const Tensor& x, const Tensor& t, double eps, Reduction reduction) {
  check_rows("dice_loss_backward", x, t);
  check_gradient("dice_loss_backward", gy, x, {x.dim(0)}, reduction);
  Tensor gx = empty_like(x);
  dice_loss_backward_kernels(gy, x, t, eps, reduction, gx);
  return gx;
}

Tensor cross_entropy(const Tensor& x, const Tensor& classes, Reduction reduction) {
  check_classes("cross_entropy", x, classes);
  Tensor y = result(x, {x.dim(0)}, reduction);
  cross_entropy_kernels(x, classes, reduction, y);
  return y;
}

Tensor cross_entropy_backward(const Tensor& gy, const Tensor& x, const Tensor& classes, Reduction reduction) {
  check_classes("cross_entropy_backward", x, classes);
  check_gradient("cross_entropy_backward", gy, x, {x.dim(0)}, reduction);
  Tensor gx = empty_like(x);
  cross_entropy_backward_kernels(gy, x, classes, reduction, gx);
  return gx;
}

Tensor pairwise_dice(const Tensor& logits, const Tensor& targets, double eps) {
  TESSERA_CHECK(logits.rank() == 2 && targets.rank() == 2 && logits.dim(1) == targets.dim(1),
                "pairwise_dice: logits must be [Q, P] and targets [K, P], got {} and {}", logits.shape(),
                targets.shape());
  TESSERA_CHECK(logits.dtype() == targets.dtype(), "pairwise_dice: logits are {}, targets {}; convert the targets",
                name_of(logits.dtype()), name_of(targets.dtype()));
  check_not_negative("pairwise_dice", "eps", eps);
  const Tensor m = sigmoid(logits);
  Tensor scores = matmul(m, targets, Transpose::kSecond);
  pairwise_dice_kernels(m, targets, eps, scores);
  return scores;
}

}  // namespace tessera::ops
