#include "autograd/matmul.h"

namespace tessera {

// c = A B with A = op(a), B = op(b):  dA = gy B^T, dB = A^T gy; the gradient of a transposed operand is transposed,
// which is the same product with its factors exchanged.
Var matmul(const Var& a, const Var& b, ops::Transpose transpose) {
  using ops::Transpose;
  const bool ta = transpose == Transpose::kFirst || transpose == Transpose::kBoth;
  const bool tb = transpose == Transpose::kSecond || transpose == Transpose::kBoth;
  const Tensor a_kept = b.requires_grad() ? a.value() : Tensor(), b_kept = a.requires_grad() ? b.value() : Tensor();
  return record("matmul", ops::matmul(a.value(), b.value(), transpose), {a, b}, [=](const Tensor& gy, Gradients& gradients) {
    const auto flags = [](bool first, bool second) {
      return first ? (second ? Transpose::kBoth : Transpose::kFirst) : (second ? Transpose::kSecond : Transpose::kNone);
    };
    if (gradients.needs(0))
      gradients.add(0, ta ? ops::matmul(b_kept, gy, flags(tb, true)) : ops::matmul(gy, b_kept, flags(false, !tb)));
    if (gradients.needs(1))
      gradients.add(1, tb ? ops::matmul(gy, a_kept, flags(true, ta)) : ops::matmul(a_kept, gy, flags(!ta, false)));
  });
}

Var linear(const Var& x, const Var& weight, const Var& bias) {
  const Tensor x_kept = weight.requires_grad() ? x.value() : Tensor(), w_kept = x.requires_grad() ? weight.value() : Tensor();
  return record("linear", ops::linear(x.value(), weight.value(), bias.value()), {x, weight, bias}, [=](const Tensor& gy, Gradients& gradients) {
    if (gradients.needs(0)) gradients.add(0, ops::linear_backward_input(gy, w_kept));
    if (gradients.needs(1)) gradients.add(1, ops::linear_backward_weight(gy, x_kept));
    if (gradients.needs(2)) gradients.add(2, ops::column_sum(gy));
  });
}

}  // namespace tessera
