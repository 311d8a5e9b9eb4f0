#include "nn/layers.h"

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "nn/working_weights.h"
#include "ops/dtypes.h"

namespace tessera::nn {

namespace {

Var convolution_weight(const Conv2dConfig& c) {
  TESSERA_CHECK(c.in > 0 && c.out > 0 && c.kernel > 0 && c.groups > 0 && c.in % c.groups == 0 && c.out % c.groups == 0,
                "Conv2d: {} -> {} channels with a {}x{} kernel do not divide into {} groups", c.in, c.out, c.kernel,
                c.kernel, c.groups);
  return Var(Tensor::empty({c.out, c.kernel, c.kernel, c.in / c.groups}), true);
}

// As PyTorch initialises a convolution or linear layer: everything uniform with bound 1 / sqrt(fan_in).
void init_default(Var& weight, Var& bias, Random& random) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight.value().numel() / weight.dim(0)));
  init_uniform(weight, bound, random);
  if (bias) init_uniform(bias, bound, random);
}

void init_convolution(Init init, Var& weight, Var& bias, Random& random) {
  switch (init) {
    case Init::kDefault:
      return init_default(weight, bias, random);
    case Init::kC2Msra:
      return init_c2_msra(weight, bias, random);
    case Init::kC2Xavier:
      return init_c2_xavier(weight, bias, random);
    case Init::kXavier:
      init_xavier_uniform(weight, 1, random);
      break;
    case Init::kZero:
      init_constant(weight, 0);
      break;
  }
  if (bias) init_constant(bias, 0);
}

Var bias_of(i64 size, bool wanted) {
  return wanted ? Var(Tensor::empty({size}), true) : Var();
}

}  // namespace

Conv2d::Conv2d(const Conv2dConfig& config, Random& random)
    : weight(convolution_weight(config)), bias(bias_of(config.out, config.bias)), config_(config) {
  init_convolution(config.init, weight, bias, random);
}

Var Conv2d::operator()(const Var& x) const {
  const Running running(*this);
  if (!packed_) return conv2d(x, for_input(weight, x), for_input(bias, x), params());
  check_fused(x, weight);
  return Var(ops::conv2d_packed(x.value(), *packed_));
}

ops::Conv2dParams Conv2d::params() const {
  return {config_.stride, config_.padding, config_.dilation, config_.groups, config_.activation};
}

void Conv2d::fuse(const InferenceOptions& options) {
  if (!weight) return;
  const DType dtype = working_dtype(weight, options.dtype);
  packed_ = ops::conv2d_pack(working_weight(weight, {}, dtype).value(), working_weight(bias, {}, dtype).value(),
                             params(), options.winograd);
}

DType working_dtype(const Var& parameter, DType x) {
  const DType own = parameter.value().dtype();
  return own == DType::kF32 && x == DType::kBF16 ? DType::kBF16 : own;
}

Var for_input(const Var& parameter, const Var& x) {
  return parameter ? working_weight(parameter, {}, working_dtype(parameter, x)) : parameter;
}

Var activate(const Var& x, ops::Activation activation) {
  switch (activation) {
    case ops::Activation::kNone:
      return x;
    case ops::Activation::kRelu:
      return relu(x);
    case ops::Activation::kRelu6:
      return relu6(x);
  }
  fail("unknown activation {}", static_cast<int>(activation));
}

void check_fused(const Var& x, const Var& weight) {
  TESSERA_CHECK(NoGrad::active() || !(x.requires_grad() || weight.requires_grad()),
                "the model is fused for inference and has no gradients; train() undoes it, NoGrad runs it as it is");
}

void Conv2d::visit(Visitor& v) {
  v.parameter("weight", weight, Layout::kConvOIHW);
  v.parameter("bias", bias);
}

ConvTranspose2d::ConvTranspose2d(const ConvTranspose2dConfig& c, Random& random)
    : bias(bias_of(c.out, c.bias)), config_(c) {
  TESSERA_CHECK(c.in > 0 && c.out > 0 && c.kernel > 0 && c.groups > 0 && c.in % c.groups == 0 && c.out % c.groups == 0,
                "ConvTranspose2d: {} -> {} channels with a {}x{} kernel do not divide into {} groups", c.in, c.out,
                c.kernel, c.kernel, c.groups);
  weight = Var(Tensor::empty({c.in, c.kernel, c.kernel, c.out / c.groups}), true);
  init_convolution(c.init, weight, bias, random);
}

Var ConvTranspose2d::operator()(const Var& x) const {
  const Running running(*this);
  return conv_transpose2d(x, for_input(weight, x), for_input(bias, x),
                          {config_.stride, config_.padding, config_.output_padding, config_.dilation, config_.groups});
}

void ConvTranspose2d::visit(Visitor& v) {
  v.parameter("weight", weight, Layout::kConvTransposeIOHW);
  v.parameter("bias", bias);
}

Linear::Linear(i64 in, i64 out, Random& random, ops::Activation activation)
    : weight(Tensor::empty({out, in}), true), bias(Tensor::empty({out}), true), activation_(activation) {
  init_default(weight, bias, random);
}

Var Linear::operator()(const Var& x) const {
  const Running running(*this);
  return linear(x, for_input(weight, x), for_input(bias, x), activation_);
}

void Linear::visit(Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}

OffsetConv::OffsetConv(const Conv2dConfig& deformable, Deform version, Random& random)
    : Conv2d({.in = deformable.in,
              .out = (version == Deform::kV2 ? 3 : 2) * deformable.kernel * deformable.kernel,
              .kernel = deformable.kernel,
              .stride = deformable.stride,
              .padding = deformable.padding,
              .dilation = deformable.dilation,
              .init = Init::kZero},  // an ordinary convolution at first
             random) {
  TESSERA_CHECK(version != Deform::kNone, "deform_conv2d: the version must be v1 or v2");
}

OffsetConv::Sampling OffsetConv::operator()(const Var& x) const {
  const i64 K = config().kernel * config().kernel;
  // Positions are f32 whatever x is: bf16 has 8 bits for whole pixels and their fractions together.
  Sampling sampling{cast(Conv2d::operator()(x), ops::parameter_dtype(x.value().dtype())),
                    Var()};  // [N, Ho, Wo, 2K or 3K]
  if (sampling.offset.dim(3) == 3 * K) {
    sampling.mask = sigmoid(slice(sampling.offset, 3, 2 * K, 3 * K));  // [N, Ho, Wo, K]
    sampling.offset = slice(sampling.offset, 3, 0, 2 * K);             // [N, Ho, Wo, 2K]
  }
  keep("offset", sampling.offset);
  return sampling;
}

DeformConv2d::DeformConv2d(const Conv2dConfig& config, Random& random)
    : weight(convolution_weight(config)), bias(bias_of(config.out, config.bias)), config_(config) {
  init_convolution(config.init, weight, bias, random);
}

Var DeformConv2d::operator()(const Var& x, const OffsetConv::Sampling& sampling) const {
  const Running running(*this);
  const Var y = deform_conv2d(x, sampling.offset, sampling.mask, for_input(weight, x), for_input(bias, x),
                              {config_.stride, config_.padding, config_.dilation, config_.groups, 1});
  return activate(y, config_.activation);
}

void DeformConv2d::visit(Visitor& v) {
  v.parameter("weight", weight, Layout::kConvOIHW);
  v.parameter("bias", bias);
}

}  // namespace tessera::nn
