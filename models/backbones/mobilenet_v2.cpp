#include "models/backbones/mobilenet_v2.h"

#include <algorithm>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"
#include "ops/inverted_residual.h"

namespace tessera {

namespace {

struct Row {
  i64 expansion, channels, repeats, stride;
};
constexpr Row kRows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                         {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

// The nearest multiple of 8 that is not more than a tenth smaller: how the authors round scaled channels.
i64 round_channels(double channels) {
  const i64 rounded = std::max<i64>(8, static_cast<i64>(channels + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

nn::ConvNormConfig relu6_unit(const std::string& name, nn::ConvNormConfig config, bool same_padding) {
  config.conv_name = name + ".0";
  config.norm_name = name + ".1";
  config.activation = ops::Activation::kRelu6;
  if (same_padding && config.stride == 2) config.padding = 0;
  return config;
}

// TensorFlow's padding of a 3x3 convolution with stride 2: one pixel of zeros after an even side, one before and one
// after an odd one.
Var pad_same(Var x) {
  for (const int axis : {2, 1}) {
    Shape shape = x.shape();
    const bool odd = shape[axis] % 2 == 1;
    shape[axis] = 1;
    const Var zeros(Tensor::zeros(shape, x.value().dtype(), x.value().device()));
    x = odd ? concat({zeros, x, zeros}, axis) : concat({x, zeros}, axis);
  }
  return x;  // [N, H + 1 or 2, W + 1 or 2, C]
}

}  // namespace

ConvRelu6::ConvRelu6(const std::string& name, const nn::ConvNormConfig& config, bool same_padding, Random& random)
    : ConvNorm(relu6_unit(name, config, same_padding), random), pads_same_(same_padding && config.stride == 2) {}

Var ConvRelu6::operator()(const Var& x) {
  return ConvNorm::operator()(pads_same_ ? pad_same(x) : x);
}

InvertedResidual::InvertedResidual(const Plan& p, const BackboneConfig& config, Random& random)
    : residual_(p.stride == 1 && p.in == p.out) {
  const i64 wide = p.in * p.expansion;
  const bool same = config.same_padding;
  int i = 0;
  const auto name = [&] { return fmt::format("conv.{}", i++); };
  if (p.expansion != 1)
    expand_.emplace(name(), nn::ConvNormConfig{.in = p.in, .out = wide, .norm = config.norm}, same, random);
  depthwise_ =
      ConvRelu6(name(), {.in = wide, .out = wide, .kernel = 3, .stride = p.stride, .groups = wide, .norm = config.norm},
                same, random);
  project_ = nn::ConvNorm({.conv_name = name(),
                           .norm_name = name(),
                           .in = wide,
                           .out = p.out,
                           .norm = config.norm,
                           .activation = ops::Activation::kNone},
                          random);
}

Var InvertedResidual::operator()(const Var& x) {
  const nn::Running running(*this);
  const ops::PackedConv2d *depthwise = depthwise_.packed(x), *project = project_.packed(x);
  if (depthwise && project) {  // fused: the wide maps between the convolutions are not made as wholes
    const ops::PackedInvertedResidual packed{expand_ ? expand_->packed(x) : nullptr, *depthwise, *project};
    return Var(ops::inverted_residual_packed(x.value(), packed, residual_ ? x.value() : Tensor()));
  }
  return project_(depthwise_(expand_ ? (*expand_)(x) : x), residual_ ? x : Var());
}

void InvertedResidual::visit(nn::Visitor& v) {
  v.child("", expand_);
  v.child("", depthwise_);
  v.child("", project_);
}

MobileNetV2::MobileNetV2(const BackboneConfig& config, Random& random, std::vector<i64> rows)
    : Backbone(config.kind, std::move(rows)) {
  check_fields("mobilenet_v2", config);
  const bool same = config.same_padding;
  i64 in = round_channels(32 * config.width), number = 1;
  stem_ = ConvRelu6("features.0", {.in = 3, .out = in, .kernel = 3, .stride = 2, .norm = config.norm}, same, random);
  built(number, in);
  for (const Row& row : kRows) {
    if (++number > last_row()) return;
    const i64 out = round_channels(static_cast<double>(row.channels) * config.width);
    std::vector<InvertedResidual>& blocks = blocks_.emplace_back();
    for (i64 b = 0; b < row.repeats; ++b) {
      blocks.emplace_back(InvertedResidual::Plan{in, out, row.expansion, b == 0 ? row.stride : 1}, config, random);
      in = out;
    }
    built(number, out);
  }
  if (last_row() == number) return;
  const i64 out = round_channels(1280 * std::max(1.0, config.width));
  last_.emplace("features.18", nn::ConvNormConfig{.in = in, .out = out, .norm = config.norm}, same, random);
  built(number + 1, out);
}

std::vector<Var> MobileNetV2::forward(const Var& images, std::span<Random> /*random*/) {
  const nn::Running running(*this);
  std::vector<Var> outputs;
  i64 row = 1;
  Var x = stem_(images);  // [N, H/2, W/2, 32]
  ran(row, x, outputs);
  for (std::vector<InvertedResidual>& blocks : blocks_) {
    for (InvertedResidual& block : blocks) x = block(x);
    ran(++row, x, outputs);
  }
  if (last_) ran(++row, (*last_)(x), outputs);  // [N, H/32, W/32, 1280]
  return outputs;
}

void MobileNetV2::visit(nn::Visitor& v) {
  v.child("", stem_);
  int i = 1;
  for (std::vector<InvertedResidual>& blocks : blocks_)
    for (InvertedResidual& block : blocks) v.child(fmt::format("features.{}", i++), block);
  v.child("", last_);
}

}  // namespace tessera
