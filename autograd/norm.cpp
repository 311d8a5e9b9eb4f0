#include "autograd/norm.h"

#include "ops/batch_norm.h"
#include "ops/group_norm.h"
#include "ops/layer_norm.h"

namespace tessera {

namespace {

void add_all(Gradients& gradients, auto g) {
  gradients.add(0, std::move(g.x));
  gradients.add(1, std::move(g.weight));
  gradients.add(2, std::move(g.bias));
}

}  // namespace

Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
               bool training, double momentum, double eps) {
  const ops::BatchNormOutput output =
      ops::batch_norm(x.value(), weight.value(), bias.value(), running_mean, running_var, {training, momentum, eps});
  const bool frozen = !training && !weight.requires_grad() && !bias.requires_grad();
  return record("batch_norm", output.y, {x, weight, bias},
                [x = frozen ? Tensor() : x.value(), weight = weight.value(), mean = output.mean, invstd = output.invstd,
                 training, frozen](const Tensor& gy, Gradients& gradients) {
                  if (frozen) return gradients.add(0, ops::batch_norm_frozen_backward(gy, weight, invstd));
                  add_all(gradients, ops::batch_norm_backward(gy, x, weight, mean, invstd, training));
                });
}

Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps) {
  const ops::LayerNormOutput output = ops::layer_norm(x.value(), weight.value(), bias.value(), eps);
  return record("layer_norm", output.y, {x, weight, bias},
                [x = x.value(), weight = weight.value(), mean = output.mean, rstd = output.rstd](const Tensor& gy,
                                                                                                 Gradients& gradients) {
                  add_all(gradients, ops::layer_norm_backward(gy, x, weight, mean, rstd));
                });
}

Var group_norm(const Var& x, i64 num_groups, const Var& weight, const Var& bias, double eps) {
  const ops::GroupNormOutput output = ops::group_norm(x.value(), num_groups, weight.value(), bias.value(), eps);
  return record("group_norm", output.y, {x, weight, bias},
                [x = x.value(), weight = weight.value(), mean = output.mean, rstd = output.rstd](const Tensor& gy,
                                                                                                 Gradients& gradients) {
                  add_all(gradients, ops::group_norm_backward(gy, x, weight, mean, rstd));
                });
}

}  // namespace tessera
