#include "ops/layer_norm.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

void check_rows(const char* op, const Tensor& x) {
  TESSERA_CHECK(x.defined() && x.rank() >= 1, "{}: x must be [..., C], got {}", op, x.shape());
  check_input(op, x);
}

Shape rows_of(const Shape& x) {
  return {x.numel(0, x.rank() - 1)};
}

}  // namespace

LayerNormOutput layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_rows("layer_norm", x);
  if (weight) check_channels("layer_norm", "weight", weight, x);
  if (bias) check_channels("layer_norm", "bias", bias, x);
  TESSERA_CHECK(eps >= 0, "layer_norm: eps must not be negative, got {}", eps);
  const Shape rows = rows_of(x.shape());
  const DType statistics = parameter_dtype(x.dtype());
  LayerNormOutput output{empty_like(x), Tensor::empty(rows, statistics, x.device()),
                         Tensor::empty(rows, statistics, x.device())};
  layer_norm_kernels(x, weight, bias, eps, output.mean, output.rstd, output.y);
  return output;
}

LayerNormGradients layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& rstd) {
  check_rows("layer_norm_backward", x);
  check_gradient("layer_norm_backward", gy, x);
  if (weight) check_channels("layer_norm_backward", "weight", weight, x);
  const Shape rows = rows_of(x.shape());
  const DType statistics = parameter_dtype(x.dtype());
  check_operand("layer_norm_backward", "mean", mean, statistics, rows);
  check_operand("layer_norm_backward", "rstd", rstd, statistics, rows);
  const Shape channels{x.dim(-1)};
  LayerNormGradients gradients{empty_like(x), Tensor::empty(channels, statistics, x.device()),
                               Tensor::empty(channels, statistics, x.device())};
  layer_norm_backward_kernels(gy, x, weight, mean, rstd, gradients.weight, gradients.bias, gradients.x);
  return gradients;
}

}  // namespace tessera::ops
