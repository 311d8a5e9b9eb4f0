#include "ops/group_norm.h"

#include "ops/checks.h"

namespace tessera::ops {

namespace {

GroupNormDims check(const char* op, const Tensor& x, i64 groups, const Tensor& weight) {
  TESSERA_CHECK(x.defined() && x.rank() >= 2, "{}: x must be [N, ..., C], got {}", op, x.shape());
  check_input(op, x);
  const i64 C = x.dim(-1);
  TESSERA_CHECK(groups >= 1 && C % groups == 0, "{}: {} channels cannot be split into {} groups; x {}", op, C, groups,
                x.shape());
  if (weight) check_channels(op, "weight", weight, x);
  return {x.dim(0), x.shape().numel(1, x.rank() - 1), C, groups};
}

}  // namespace

GroupNormOutput group_norm(const Tensor& x, i64 num_groups, const Tensor& weight, const Tensor& bias, double eps) {
  const GroupNormDims dims = check("group_norm", x, num_groups, weight);
  if (bias) check_channels("group_norm", "bias", bias, x);
  TESSERA_CHECK(eps >= 0, "group_norm: eps must not be negative, got {}", eps);
  const DType statistics = parameter_dtype(x.dtype());
  GroupNormOutput output{empty_like(x), Tensor::zeros({dims.N, dims.G}, statistics, x.device()),
                         Tensor::zeros({dims.N, dims.G}, statistics, x.device())};
  if (x.numel() > 0) group_norm_kernels(dims, x, weight, bias, eps, output.mean, output.rstd, output.y);
  return output;
}

GroupNormGradients group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& rstd) {
  TESSERA_CHECK(x.defined() && mean.rank() == 2, "group_norm_backward: mean must be [N, G], got {}", mean.shape());
  const GroupNormDims dims = check("group_norm_backward", x, mean.dim(1), weight);
  check_gradient("group_norm_backward", gy, x);
  const Shape groups{dims.N, dims.G};
  const DType statistics = parameter_dtype(x.dtype());
  check_operand("group_norm_backward", "mean", mean, statistics, groups);
  check_operand("group_norm_backward", "rstd", rstd, statistics, groups);
  GroupNormGradients gradients{empty_like(x), Tensor::zeros({dims.C}, statistics, x.device()),
                               Tensor::zeros({dims.C}, statistics, x.device())};
  if (x.numel() > 0)
    group_norm_backward_kernels(dims, gy, x, weight, mean, rstd, gradients.weight, gradients.bias, gradients.x);
  return gradients;
}

}  // namespace tessera::ops
