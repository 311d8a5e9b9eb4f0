#include "ops/batch_norm.h"

#include "ops/dtypes.h"

namespace tessera::ops {

namespace {

void check_channels(const char* op, const char* name, const Tensor& vector, const Tensor& x) {
  TESSERA_CHECK(vector.defined(), "{}: {} is missing; x is {}", op, name, x.shape());
  TESSERA_CHECK(vector.rank() == 1 && vector.dim(0) == x.dim(-1), "{}: {} must be [{}] for x {}, got {}", op, name,
                x.dim(-1), x.shape(), vector.shape());
  TESSERA_CHECK(vector.dtype() == parameter_dtype(x.dtype()), "{}: {} is {}, x is {}; convert one of them", op, name,
                name_of(vector.dtype()), name_of(x.dtype()));
}

void check_input(const char* op, const Tensor& x) {
  TESSERA_CHECK(x.defined() && x.rank() >= 1, "{}: x must be [..., C], got {}", op, x.shape());
}

}  // namespace

BatchNormOutput batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                           Tensor& running_var, const BatchNormParams& params) {
  check_input("batch_norm", x);
  check_channels("batch_norm", "weight", weight, x);
  check_channels("batch_norm", "bias", bias, x);
  check_channels("batch_norm", "running_mean", running_mean, x);
  check_channels("batch_norm", "running_var", running_var, x);
  TESSERA_CHECK(params.eps >= 0, "batch_norm: eps must not be negative, got {}", params.eps);
  TESSERA_CHECK(!params.training || x.shape().numel(0, x.rank() - 1) != 1,
                "batch_norm: training needs more than 1 value per channel, x is {}; use a larger batch or map, or "
                "evaluation mode",
                x.shape());
  BatchNormOutput output{Tensor::empty(x.shape(), x.dtype(), x.device()),
                         Tensor::empty(weight.shape(), weight.dtype(), x.device()),
                         Tensor::empty(weight.shape(), weight.dtype(), x.device())};
  batch_norm_kernels(x, weight, bias, running_mean, running_var, params, output.mean, output.invstd, output.y);
  return output;
}

BatchNormGradients batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& invstd, bool training) {
  check_input("batch_norm_backward", x);
  TESSERA_CHECK(gy.shape() == x.shape() && gy.dtype() == x.dtype(), "batch_norm_backward: gy is {} {}, x is {} {}",
                name_of(gy.dtype()), gy.shape(), name_of(x.dtype()), x.shape());
  check_channels("batch_norm_backward", "weight", weight, x);
  check_channels("batch_norm_backward", "mean", mean, x);
  check_channels("batch_norm_backward", "invstd", invstd, x);
  BatchNormGradients gradients{Tensor::empty(x.shape(), x.dtype(), x.device()),
                               Tensor::empty(weight.shape(), weight.dtype(), x.device()),
                               Tensor::empty(weight.shape(), weight.dtype(), x.device())};
  batch_norm_backward_kernels(gy, x, weight, mean, invstd, training, gradients.x, gradients.weight, gradients.bias);
  return gradients;
}

Tensor batch_norm_frozen_backward(const Tensor& gy, const Tensor& weight, const Tensor& invstd) {
  check_input("batch_norm_frozen_backward", gy);
  check_channels("batch_norm_frozen_backward", "weight", weight, gy);
  check_channels("batch_norm_frozen_backward", "invstd", invstd, gy);
  Tensor gx = Tensor::empty(gy.shape(), gy.dtype(), gy.device());
  batch_norm_frozen_backward_kernels(gy, weight, invstd, gx);
  return gx;
}

}  // namespace tessera::ops
