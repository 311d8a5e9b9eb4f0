#include "autograd/matmul.h"

#include "ops/pointwise.h"

namespace tessera {

namespace {

// What the gradient of one operand needs is the other operand: keep it only if that gradient is wanted.
Tensor keep_if(const Var& wanted, const Var& value) {
  return wanted.requires_grad() ? value.value() : Tensor();
}

}  // namespace

//  c = a b        ga = gc b^T       gb = a^T gc
//  c = a^T b      ga = b gc^T       gb = a gc
//  c = a b^T      ga = gc b         gb = gc^T a
//  c = a^T b^T    ga = b^T gc^T     gb = gc^T a^T
Var matmul(const Var& a, const Var& b, ops::Transpose transpose) {
  using ops::Transpose;
  return record("matmul", ops::matmul(a.value(), b.value(), transpose), {a, b},
                [a = keep_if(b, a), b = keep_if(a, b), transpose](const Tensor& gc, Gradients& gradients) {
                  const bool first = transpose == Transpose::kFirst || transpose == Transpose::kBoth;
                  const bool second = transpose == Transpose::kSecond || transpose == Transpose::kBoth;
                  if (gradients.needs(0))
                    gradients.add(0, first ? ops::matmul(b, gc, second ? Transpose::kBoth : Transpose::kSecond)
                                           : ops::matmul(gc, b, second ? Transpose::kNone : Transpose::kSecond));
                  if (gradients.needs(1))
                    gradients.add(1, second ? ops::matmul(gc, a, first ? Transpose::kBoth : Transpose::kFirst)
                                            : ops::matmul(a, gc, first ? Transpose::kNone : Transpose::kFirst));
                });
}

// gx = gy w, gw = gy^T x, gb = the column sums of gy, the gradient before the activation
Var linear(const Var& x, const Var& weight, const Var& bias, ops::Activation activation) {
  const Tensor y = ops::linear(x.value(), weight.value(), bias.value(), activation);
  const Tensor kept_y = activation == ops::Activation::kNone ? Tensor() : y;
  return record("linear", y, {x, weight, bias},
                [=, x = keep_if(weight, x), w = keep_if(x, weight)](const Tensor& gradient, Gradients& gradients) {
                  const Tensor gy = ops::activation_backward(gradient, kept_y, activation);
                  if (gradients.needs(0)) gradients.add(0, ops::linear_backward_input(gy, w));
                  if (gradients.needs(1)) gradients.add(1, ops::linear_backward_weight(gy, x));
                  if (gradients.needs(2)) gradients.add(2, ops::column_sum(gy));
                });
}

}  // namespace tessera
