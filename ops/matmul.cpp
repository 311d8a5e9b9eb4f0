#include "ops/matmul.h"

#include <array>

#include "ops/checks.h"

namespace tessera::ops {

namespace {

constexpr std::array kTransposes = {"none", "first", "second", "both"};  // in the enum's order

// [..., I] as [rows, I].
Tensor as_rows(const Tensor& x) {
  return x.reshape({x.shape().numel(0, x.rank() - 1), x.dim(-1)});
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, Transpose transpose) {
  check_input("matmul", a);
  check_operand("matmul", "b", b, a.dtype());
  TESSERA_CHECK(a.rank() == b.rank() && (a.rank() == 2 || a.rank() == 3),
                "matmul: both operands must have rank 2, or both rank 3 (a batch); a {}, b {}", a.shape(), b.shape());
  TESSERA_CHECK(a.rank() == 2 || a.dim(0) == b.dim(0), "matmul: batch sizes differ, nothing is broadcast; a {}, b {}",
                a.shape(), b.shape());
  const bool first = transpose == Transpose::kFirst || transpose == Transpose::kBoth;
  const bool second = transpose == Transpose::kSecond || transpose == Transpose::kBoth;
  const i64 inner = b.dim(second ? -1 : -2);
  const MatmulDims dims{.batch = a.rank() == 3 ? a.dim(0) : 1,
                        .M = a.dim(first ? -1 : -2),
                        .N = b.dim(second ? -2 : -1),
                        .K = a.dim(first ? -2 : -1),
                        .transpose_a = first,
                        .transpose_b = second};
  TESSERA_CHECK(dims.K == inner, "matmul: inner sizes {} and {} differ; a {}, b {}, transpose {}", dims.K, inner,
                a.shape(), b.shape(), kTransposes.at(static_cast<size_t>(transpose)));
  Tensor c =
      Tensor::empty(a.rank() == 3 ? Shape{dims.batch, dims.M, dims.N} : Shape{dims.M, dims.N}, a.dtype(), a.device());
  matmul_kernels(dims, a, b, c);
  return c;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
  check_input("linear", x);
  check_operand("linear", "weight", weight, x.dtype());
  TESSERA_CHECK(x.rank() >= 1 && weight.rank() == 2, "linear: x must be [..., I] and weight [O, I]; x {}, weight {}",
                x.shape(), weight.shape());
  TESSERA_CHECK(x.dim(-1) == weight.dim(1), "linear: x has {} features, weight {} expects {}; x {}", x.dim(-1),
                weight.shape(), weight.dim(1), x.shape());
  if (bias.defined()) {
    check_operand("linear", "bias", bias, x.dtype());
    TESSERA_CHECK(bias.shape() == Shape{weight.dim(0)}, "linear: bias must be [{}]; bias {}, weight {}", weight.dim(0),
                  bias.shape(), weight.shape());
  }
  Shape shape = x.shape();
  shape[-1] = weight.dim(0);
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  linear_kernels(x, weight, bias, activation, y);
  return y;
}

Tensor linear_backward_input(const Tensor& gy, const Tensor& weight) {
  TESSERA_CHECK(gy.rank() >= 1, "linear_backward_input: gy must be [..., O]; gy {}", gy.shape());
  Shape shape = gy.shape();
  shape[-1] = weight.dim(-1);
  return matmul(as_rows(gy), weight).reshape(shape);
}

Tensor linear_backward_weight(const Tensor& gy, const Tensor& x) {
  TESSERA_CHECK(gy.rank() >= 1 && x.rank() >= 1, "linear_backward_weight: gy must be [..., O], x [..., I]; gy {}, x {}",
                gy.shape(), x.shape());
  return matmul(as_rows(gy), as_rows(x), Transpose::kFirst);
}

Tensor column_sum(const Tensor& x) {
  check_input("column_sum", x);
  TESSERA_CHECK(x.rank() >= 1, "column_sum: x must have at least one dimension; x {}", x.shape());
  Tensor y = Tensor::empty({x.dim(-1)}, x.dtype(), x.device());
  column_sum_kernels(x, y);
  return y;
}

}  // namespace tessera::ops
