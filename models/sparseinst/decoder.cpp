#include "models/sparseinst/decoder.h"

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/coordinates.h"
#include "ops/dtypes.h"

namespace tessera::sparseinst {

namespace {

i64 input_channels(const Config& config) {
  return config.encoder.channels + (config.decoder.coords ? 2 : 0);
}

}  // namespace

ConvStack::ConvStack(i64 in, const DecoderConfig& config, Random& random) {
  for (i64 j = 0; j < config.depth; ++j) {
    const nn::Conv2dConfig conv{.in = j == 0 ? in : config.width,
                                .out = config.width,
                                .kernel = 3,
                                .padding = 1,
                                .activation = ops::Activation::kRelu,
                                .init = nn::Init::kC2Msra};
    if (j + 1 == config.depth && config.dconv != nn::Deform::kNone) {
      last_.emplace(conv, random);
      last_offset_.emplace(conv, config.dconv, random);
    } else {
      convs_.emplace_back(conv, random);
    }
  }
}

Var ConvStack::operator()(Var x) const {
  const nn::Running running(*this);
  for (const nn::Conv2d& conv : convs_) x = conv(x);
  return last_ ? (*last_)(x, (*last_offset_)(x)) : x;
}

void ConvStack::visit(nn::Visitor& v) {  // odd numbers are the ReLUs
  for (size_t j = 0; j < convs_.size(); ++j) v.child(fmt::format("{}", 2 * j), convs_[j]);
  v.child(fmt::format("{}_offset", 2 * convs_.size()), last_offset_);
  v.child(fmt::format("{}", 2 * convs_.size()), last_);
}

InstanceBranch::InstanceBranch(i64 in, const Config& config, Random& random) : convs_(in, config.decoder, random) {
  const i64 C = config.decoder.width, Q = config.num_masks;
  if (config.iam.cross_attention)
    attention_.emplace(C, Q, random);
  else
    activation_.emplace(C, Q, config.iam, random);
  const i64 D = activation_ ? activation_->vector_size() : C;

  cls_score_ = nn::Linear(D, config.num_classes, random);
  nn::init_normal(cls_score_.weight, 0.01, random);
  nn::init_constant(cls_score_.bias, nn::prior_bias(0.01));
  mask_kernel_ = nn::Linear(D, config.kernel_dim, random);
  nn::init_normal(mask_kernel_.weight, 0.01, random);
  nn::init_constant(mask_kernel_.bias, 0);
  if (config.loss.objectness != ObjectnessLoss::kNone) objectness_.emplace(D, 1, random);
}

InstanceBranch::Result InstanceBranch::operator()(const Var& features) const {
  const nn::Running running(*this);
  const Var f = convs_(features);  // [N, H, W, C]
  nn::keep("inst_features_map", f);
  const auto [maps, z] = activation_ ? (*activation_)(f) : InstanceActivation::Result{Var(), (*attention_)(f)};
  nn::keep("inst_vectors", z);                                           // [N, Q, D]
  const Var vectors = cast(z, ops::parameter_dtype(z.value().dtype()));  // logits are not rounded to bf16
  return {.logits = cls_score_(vectors),                                 // [N, Q, K]
          .kernels = mask_kernel_(vectors),                              // [N, Q, M]
          .objectness = objectness_ ? (*objectness_)(vectors) : Var(),   // [N, Q, 1]
          .maps = maps};
}

void InstanceBranch::visit(nn::Visitor& v) {
  v.child("inst_convs", convs_);
  v.child("", activation_);
  v.child("attention", attention_);
  v.child("cls_score", cls_score_);
  v.child("mask_kernel", mask_kernel_);
  v.child("objectness", objectness_);
}

MaskBranch::MaskBranch(i64 in, const Config& config, Random& random) : convs_(in, config.decoder, random) {
  projection_ = nn::Conv2d({.in = config.decoder.width, .out = config.kernel_dim, .init = nn::Init::kC2Msra}, random);
}

Var MaskBranch::operator()(const Var& features) const {
  const nn::Running running(*this);
  return projection_(convs_(features));
}

void MaskBranch::visit(nn::Visitor& v) {
  v.child("mask_convs", convs_);
  v.child("projection", projection_);
}

Decoder::Decoder(const Config& config, Random& random)
    : coords_(config.decoder.coords),
      scale_factor_(config.scale_factor),
      instance_branch_(input_channels(config), config, random),
      mask_branch_(input_channels(config), config, random) {}

Output Decoder::operator()(const Var& features) const {
  const nn::Running running(*this);
  Var x = features;
  if (coords_) x = concat({Var(ops::pixel_coordinates(x.value())), x}, 3);  // [N, H, W, 2 + C]
  const auto [logits, kernels, objectness, maps] = instance_branch_(x);
  const Var mask_features = cast(mask_branch_(x), kernels.value().dtype());  // [N, H, W, M]

  const i64 N = x.dim(0), H = x.dim(1), W = x.dim(2), Q = kernels.dim(1), M = kernels.dim(2), S = scale_factor_;
  const Var products = matmul(reshape(mask_features, {N, H * W, M}), kernels, ops::Transpose::kSecond);  // [N, HW, Q]
  const Var enlarged =
      interpolate(reshape(products, {N, H, W, Q}), S * H, S * W, ops::Interpolation::kBilinear);  // [N, SH, SW, Q]
  const Var masks = permute(enlarged, {0, 3, 1, 2});                                              // [N, Q, SH, SW]
  nn::keep("mask_kernel", kernels);
  nn::keep("mask_features", mask_features);
  nn::keep("pred_logits", logits);
  nn::keep("pred_scores", objectness);
  nn::keep("pred_masks", masks);
  return {logits, objectness, masks, maps};
}

void Decoder::visit(nn::Visitor& v) {
  v.child("inst_branch", instance_branch_);
  v.child("mask_branch", mask_branch_);
}

}  // namespace tessera::sparseinst
