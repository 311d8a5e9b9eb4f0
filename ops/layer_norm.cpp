#include "ops/layer_norm.h"

#include "ops/dtypes.h"

namespace tessera::ops {

namespace {

void check_input(const char* op, const Tensor& x) {
  TESSERA_CHECK(x.defined() && x.rank() >= 1, "{}: x must be [..., C], got {}", op, x.shape());
  TESSERA_CHECK(is_activation(x.dtype()), "{}: dtype {} is not supported, use {}", op, name_of(x.dtype()),
                types_taken(is_activation));
}

void check_channels(const char* op, const char* name, const Tensor& vector, const Tensor& x) {
  if (!vector.defined()) return;
  TESSERA_CHECK(vector.rank() == 1 && vector.dim(0) == x.dim(-1), "{}: {} must be [{}] for x {}, got {}", op, name,
                x.dim(-1), x.shape(), vector.shape());
  TESSERA_CHECK(vector.dtype() == parameter_dtype(x.dtype()), "{}: {} is {}, x is {}; convert one of them", op, name,
                name_of(vector.dtype()), name_of(x.dtype()));
}

Shape rows_of(const Shape& x) {
  return {x.numel(0, x.rank() - 1)};
}

}  // namespace

LayerNormOutput layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_input("layer_norm", x);
  check_channels("layer_norm", "weight", weight, x);
  check_channels("layer_norm", "bias", bias, x);
  TESSERA_CHECK(eps >= 0, "layer_norm: eps must not be negative, got {}", eps);
  const Shape rows = rows_of(x.shape());
  const DType statistics = parameter_dtype(x.dtype());
  LayerNormOutput output{Tensor::empty(x.shape(), x.dtype(), x.device()), Tensor::empty(rows, statistics, x.device()),
                         Tensor::empty(rows, statistics, x.device())};
  layer_norm_kernels(x, weight, bias, eps, output.mean, output.rstd, output.y);
  return output;
}

LayerNormGradients layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& rstd) {
  check_input("layer_norm_backward", x);
  TESSERA_CHECK(gy.shape() == x.shape() && gy.dtype() == x.dtype(), "layer_norm_backward: gy is {} {}, x is {} {}",
                name_of(gy.dtype()), gy.shape(), name_of(x.dtype()), x.shape());
  check_channels("layer_norm_backward", "weight", weight, x);
  const Shape rows = rows_of(x.shape());
  const DType statistics = parameter_dtype(x.dtype());
  TESSERA_CHECK(
      mean.shape() == rows && rstd.shape() == rows && mean.dtype() == statistics && rstd.dtype() == statistics,
      "layer_norm_backward: mean {} and rstd {} must be {} in {} for x {}", mean.shape(), rstd.shape(), rows,
      name_of(statistics), x.shape());
  const Shape channels{x.dim(-1)};
  LayerNormGradients gradients{Tensor::empty(x.shape(), x.dtype(), x.device()),
                               Tensor::empty(channels, statistics, x.device()),
                               Tensor::empty(channels, statistics, x.device())};
  layer_norm_backward_kernels(gy, x, weight, mean, rstd, gradients.weight, gradients.bias, gradients.x);
  return gradients;
}

}  // namespace tessera::ops
