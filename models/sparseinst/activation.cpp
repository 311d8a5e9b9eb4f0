#include "models/sparseinst/activation.h"

#include "autograd/arrange.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "autograd/softmax.h"
#include "nn/attention.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/dtypes.h"

namespace tessera::sparseinst {

namespace {

constexpr i64 kHeads = 4;

// The softmax over the pixels, in f32 whatever the maps are.
Var softmax_over_pixels(const Var& maps, const Var& bias) {  // [N, HW, Q]
  const DType dtype = maps.value().dtype();
  return cast(softmax(cast(maps, ops::parameter_dtype(dtype)) + bias, 1), dtype);
}

}  // namespace

InstanceActivation::InstanceActivation(i64 width, i64 num_masks, const IamConfig& config, Random& random)
    : width_(width), num_masks_(num_masks), config_(config) {
  TESSERA_CHECK(width % config.groups == 0, "sparseinst: iam.groups must divide the decoder's width {}, got {}", width,
                config.groups);
  const i64 kernel = config.kernel == IamKernel::k1x1 ? 1 : 3;
  if (config.kernel == IamKernel::kTwo3x3) {
    hidden_conv_.emplace(nn::Conv2dConfig{.in = width,
                                          .out = width,
                                          .kernel = 3,
                                          .padding = 1,
                                          .activation = ops::Activation::kRelu,
                                          .init = nn::Init::kC2Msra},
                         random);
  }
  conv_ = nn::Conv2d(
      {.in = width, .out = num_masks * config.groups, .kernel = kernel, .padding = kernel / 2, .groups = config.groups},
      random);
  nn::init_normal(conv_.weight, 0.01, random);
  nn::init_constant(conv_.bias, nn::prior_bias(0.01));
  if (config.activation == IamActivation::kSoftmax) softmax_bias_ = Var(Tensor::full({1}, 1), true);
  if (config.groups > 1 && config.fc) {
    fc_.emplace(vector_size(), vector_size(), random);
    nn::init_c2_xavier(fc_->weight, fc_->bias, random);
  }
}

InstanceActivation::Result InstanceActivation::operator()(const Var& features) const {
  const i64 N = features.dim(0), HW = features.dim(1) * features.dim(2), C = width_, Q = num_masks_, G = config_.groups;
  const Var maps = conv_(hidden_conv_ ? (*hidden_conv_)(features) : features);  // [N, H, W, G Q]
  nn::keep("iam_logits", maps);
  const Var flat = reshape(maps, {N, HW, G * Q});  // [N, HW, G Q]
  // Divided here and not after the product: that keeps half precision in range.
  const Var weights = softmax_bias_ ? softmax_over_pixels(flat, softmax_bias_) : normalised_sigmoid(flat, 1);
  Var z = matmul(weights, reshape(features, {N, HW, C}), ops::Transpose::kFirst);  // [N, G Q, C]
  nn::keep("iam_pooled", z);
  if (G > 1) z = reshape(permute(reshape(z, {N, G, Q, C}), {0, 2, 1, 3}), {N, Q, G * C});  // [N, Q, G C]
  if (fc_) z = relu((*fc_)(z));
  return {maps, z};
}

void InstanceActivation::visit(nn::Visitor& v) {
  v.parameter("softmax_bias", softmax_bias_);
  v.child("iam_conv.0", hidden_conv_);
  v.child(hidden_conv_ ? "iam_conv.2" : "iam_conv", conv_);  // 1 is the ReLU
  v.child("fc", fc_);
}

CrossAttention::CrossAttention(i64 width, i64 num_masks, Random& random)
    : queries_(Tensor::empty({num_masks, width}), true),
      query_(width, width, random),
      key_(width, width, random),
      value_(width, width, random),
      output_(width, width, random) {
  TESSERA_CHECK(width % kHeads == 0, "sparseinst: cross attention needs a width divisible by {}, got {}", kHeads,
                width);
  nn::init_normal(queries_, 1, random);
}

Var CrossAttention::operator()(const Var& features) const {  // [N, H, W, C]
  const nn::Running running(*this);
  const i64 N = features.dim(0), HW = features.dim(1) * features.dim(2), C = features.dim(3), Q = queries_.dim(0);
  const Var pixels = reshape(features, {N, HW, C});
  const Var query = reshape(query_(nn::for_input(queries_, features)), {1, Q, C});
  const Var queries = concat(std::vector<Var>(static_cast<size_t>(N), query), 0);  // [N, Q, C]
  return output_(nn::attend(queries, key_(pixels), value_(pixels), kHeads));
}

void CrossAttention::visit(nn::Visitor& v) {
  v.parameter("queries", queries_);
  v.child("query", query_);
  v.child("key", key_);
  v.child("value", value_);
  v.child("output", output_);
}

}  // namespace tessera::sparseinst
