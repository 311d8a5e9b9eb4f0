#include "ops/group_norm.h"

#include "ops/dtypes.h"

namespace tessera::ops {

namespace {

void check_channels(const char* op, const char* name, const Tensor& vector, const Tensor& x) {
  if (!vector.defined()) return;
  TESSERA_CHECK(vector.rank() == 1 && vector.dim(0) == x.dim(-1), "{}: {} must be [{}] for x {}, got {}", op, name,
                x.dim(-1), x.shape(), vector.shape());
  TESSERA_CHECK(vector.dtype() == parameter_dtype(x.dtype()), "{}: {} is {}, x is {}; convert one of them", op, name,
                name_of(vector.dtype()), name_of(x.dtype()));
}

GroupNormDims check(const char* op, const Tensor& x, i64 groups, const Tensor& weight) {
  TESSERA_CHECK(x.defined() && x.rank() >= 2, "{}: x must be [N, ..., C], got {}", op, x.shape());
  TESSERA_CHECK(is_activation(x.dtype()), "{}: dtype {} is not supported, use {}", op, name_of(x.dtype()),
                types_taken(is_activation));
  const i64 C = x.dim(-1);
  TESSERA_CHECK(groups >= 1 && C % groups == 0, "{}: {} channels cannot be split into {} groups; x {}", op, C, groups,
                x.shape());
  check_channels(op, "weight", weight, x);
  return {x.dim(0), x.shape().numel(1, x.rank() - 1), C, groups};
}

}  // namespace

GroupNormOutput group_norm(const Tensor& x, i64 num_groups, const Tensor& weight, const Tensor& bias, double eps) {
  const GroupNormDims dims = check("group_norm", x, num_groups, weight);
  check_channels("group_norm", "bias", bias, x);
  TESSERA_CHECK(eps >= 0, "group_norm: eps must not be negative, got {}", eps);
  const DType statistics = parameter_dtype(x.dtype());
  GroupNormOutput output{Tensor::empty(x.shape(), x.dtype(), x.device()),
                         Tensor::zeros({dims.N, dims.G}, statistics, x.device()),
                         Tensor::zeros({dims.N, dims.G}, statistics, x.device())};
  if (x.numel() > 0) group_norm_kernels(dims, x, weight, bias, eps, output.mean, output.rstd, output.y);
  return output;
}

GroupNormGradients group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& rstd) {
  TESSERA_CHECK(x.defined() && mean.rank() == 2, "group_norm_backward: mean must be [N, G], got {}", mean.shape());
  const GroupNormDims dims = check("group_norm_backward", x, mean.dim(1), weight);
  TESSERA_CHECK(gy.shape() == x.shape() && gy.dtype() == x.dtype(), "group_norm_backward: gy is {} {}, x is {} {}",
                name_of(gy.dtype()), gy.shape(), name_of(x.dtype()), x.shape());
  const Shape groups{dims.N, dims.G};
  const DType statistics = parameter_dtype(x.dtype());
  TESSERA_CHECK(
      mean.shape() == groups && rstd.shape() == groups && mean.dtype() == statistics && rstd.dtype() == statistics,
      "group_norm_backward: mean {} and rstd {} must be {} in {} for x {}", mean.shape(), rstd.shape(), groups,
      name_of(statistics), x.shape());
  GroupNormGradients gradients{Tensor::empty(x.shape(), x.dtype(), x.device()),
                               Tensor::zeros({dims.C}, statistics, x.device()),
                               Tensor::zeros({dims.C}, statistics, x.device())};
  if (x.numel() > 0)
    group_norm_backward_kernels(dims, gy, x, weight, mean, rstd, gradients.weight, gradients.bias, gradients.x);
  return gradients;
}

}  // namespace tessera::ops
