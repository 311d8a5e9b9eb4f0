#include "ops/batch_norm.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

void check_rows(const char* op, const Tensor& x) {
  TESSERA_CHECK(x.defined() && x.rank() >= 1, "{}: x must be [..., C], got {}", op, x.shape());
}

}  // namespace

BatchNormOutput batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                           Tensor& running_var, const BatchNormParams& params) {
  check_rows("batch_norm", x);
  check_channels("batch_norm", "weight", weight, x);
  check_channels("batch_norm", "bias", bias, x);
  check_channels("batch_norm", "running_mean", running_mean, x);
  check_channels("batch_norm", "running_var", running_var, x);
  TESSERA_CHECK(params.eps >= 0, "batch_norm: eps must not be negative, got {}", params.eps);
  TESSERA_CHECK(!params.training || x.shape().numel(0, x.rank() - 1) != 1,
                "batch_norm: training needs more than 1 value per channel, x is {}; use a larger batch or map, or "
                "evaluation mode",
                x.shape());
  BatchNormOutput output{empty_like(x), empty_like(weight), empty_like(weight)};
  batch_norm_kernels(x, weight, bias, running_mean, running_var, params, output.mean, output.invstd, output.y);
  return output;
}

BatchNormGradients batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& invstd, bool training) {
  check_rows("batch_norm_backward", x);
  check_gradient("batch_norm_backward", gy, x);
  check_channels("batch_norm_backward", "weight", weight, x);
  check_channels("batch_norm_backward", "mean", mean, x);
  check_channels("batch_norm_backward", "invstd", invstd, x);
  BatchNormGradients gradients{empty_like(x), empty_like(weight), empty_like(weight)};
  batch_norm_backward_kernels(gy, x, weight, mean, invstd, training, gradients.x, gradients.weight, gradients.bias);
  return gradients;
}

Tensor batch_norm_frozen_backward(const Tensor& gy, const Tensor& weight, const Tensor& invstd) {
  check_rows("batch_norm_frozen_backward", gy);
  check_channels("batch_norm_frozen_backward", "weight", weight, gy);
  check_channels("batch_norm_frozen_backward", "invstd", invstd, gy);
  Tensor gx = empty_like(gy);
  batch_norm_frozen_backward_kernels(gy, weight, invstd, gx);
  return gx;
}

}  // namespace tessera::ops
