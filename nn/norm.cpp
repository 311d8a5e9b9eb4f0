#include "nn/norm.h"

#include "autograd/norm.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"

namespace tessera::nn {

namespace {

Affine affine_of(const Var& weight, const Var& bias, const Tensor& mean, const Tensor& var, double eps) {
  const Var scale = weight / sqrt(Var(var) + eps);
  return {scale, bias - Var(mean) * scale};
}

}  // namespace

BatchNorm2d::BatchNorm2d(i64 channels, double eps, double momentum)
    : weight(Tensor::full({channels}, 1), true),
      bias(Tensor::zeros({channels}), true),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::full({channels}, 1)),
      eps_(eps),
      momentum_(momentum) {}

Var BatchNorm2d::operator()(const Var& x) {
  const Running running(*this);
  return batch_norm(x, weight, bias, running_mean, running_var, training(), momentum_, eps_);
}

Affine BatchNorm2d::affine() const {
  return affine_of(weight, bias, running_mean, running_var, eps_);
}

void BatchNorm2d::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
  v.buffer("running_mean", running_mean);
  v.buffer("running_var", running_var);
}

FrozenBatchNorm::FrozenBatchNorm(i64 channels, double eps)
    : weight(Tensor::full({channels}, 1)),
      bias(Tensor::zeros({channels})),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::full({channels}, 1)),
      eps_(eps) {}

const Affine& FrozenBatchNorm::affine() const {
  if (!affine_) affine_ = affine_of(Var(weight), Var(bias), running_mean, running_var, eps_);
  return *affine_;
}

void FrozenBatchNorm::visit(Visitor& v) {
  v.buffer("weight", weight);
  v.buffer("bias", bias);
  v.buffer("running_mean", running_mean);
  v.buffer("running_var", running_var);
}

LayerNorm::LayerNorm(i64 size, double eps)
    : weight(Tensor::full({size}, 1), true), bias(Tensor::zeros({size}), true), eps_(eps) {}

Var LayerNorm::operator()(const Var& x) const {
  const Running running(*this);
  return layer_norm(x, weight, bias, eps_);
}

void LayerNorm::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}

GroupNorm::GroupNorm(i64 num_groups, i64 channels, double eps)
    : weight(Tensor::full({channels}, 1), true),
      bias(Tensor::zeros({channels}), true),
      num_groups_(num_groups),
      eps_(eps) {
  TESSERA_CHECK(num_groups > 0 && channels % num_groups == 0, "GroupNorm: {} channels cannot be split into {} groups",
                channels, num_groups);
}

Var GroupNorm::operator()(const Var& x) const {
  const Running running(*this);
  return group_norm(x, num_groups_, weight, bias, eps_);
}

void GroupNorm::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}

}  // namespace tessera::nn
