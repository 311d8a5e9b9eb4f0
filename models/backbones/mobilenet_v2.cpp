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

// One more row and column of zeros, below and on the right.
Var pad_after(const Var& x) {
  const auto zeros = [&](i64 H, i64 W) {
    return Var(Tensor::zeros({x.dim(0), H, W, x.dim(3)}, x.value().dtype(), x.value().device()));
  };
  const Var wider = concat({x, zeros(x.dim(1), 1)}, 2);  // [N, H, W + 1, C]
  return concat({wider, zeros(1, wider.dim(2))}, 1);     // [N, H + 1, W + 1, C]
}

}  // namespace

// The inputs of all convolutions with stride 2 have even sides here, where TensorFlow pads after alone.
ConvRelu6::ConvRelu6(const std::string& name, const nn::ConvNormConfig& config, bool same_padding, Random& random)
    : ConvNorm(relu6_unit(name, config, same_padding), random), pad_after_(same_padding && config.stride == 2) {}

Var ConvRelu6::operator()(const Var& x) {
  return ConvNorm::operator()(pad_after_ ? pad_after(x) : x);
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
  return project_(depthwise_(expand_ ? (*expand_)(x) : x), nullptr, residual_ ? x : Var());
}

void InvertedResidual::visit(nn::Visitor& v) {
  v.child("", expand_);
  v.child("", depthwise_);
  v.child("", project_);
}

MobileNetV2::MobileNetV2(const BackboneConfig& config, Random& random) {
  check_fields("mobilenet_v2", config);
  const bool same = config.same_padding;
  i64 in = round_channels(32 * config.width), stride = 2;
  stem_ = ConvRelu6("features.0", {.in = 3, .out = in, .kernel = 3, .stride = 2, .norm = config.norm}, same, random);
  for (const Row& row : kRows) {
    const i64 out = round_channels(static_cast<double>(row.channels) * config.width);
    std::vector<InvertedResidual>& blocks = rows_.emplace_back();
    for (i64 b = 0; b < row.repeats; ++b) {
      blocks.emplace_back(InvertedResidual::Plan{in, out, row.expansion, b == 0 ? row.stride : 1}, config, random);
      in = out;
    }
    stride *= row.stride;
    if (row.channels == 32 || row.channels == 96) levels_.push_back({out, stride});
  }
  const i64 out = round_channels(1280 * std::max(1.0, config.width));
  last_ = ConvRelu6("features.18", {.in = in, .out = out, .norm = config.norm}, same, random);
  levels_.push_back({out, stride});
}

std::vector<Var> MobileNetV2::rows(const Var& images) {
  TESSERA_CHECK(images.rank() == 4 && images.dim(3) == 3 && images.dim(1) % 32 == 0 && images.dim(2) % 32 == 0,
                "mobilenet_v2: images must be [N, H, W, 3] with H and W multiples of 32, got {}", images.shape());
  Var x = stem_(images);  // [N, H/2, W/2, 32]
  std::vector<Var> outputs = {x};
  for (std::vector<InvertedResidual>& blocks : rows_) {
    for (InvertedResidual& block : blocks) x = block(x);
    outputs.push_back(x);
  }
  outputs.push_back(last_(x));  // [N, H/32, W/32, 1280]
  return outputs;
}

std::vector<Var> MobileNetV2::operator()(const Var& images, nn::Taps* taps) {
  const nn::Running running(*this);
  const std::vector<Var> all = rows(images);
  for (const auto& [name, row] : {std::pair{"stem", 1}, {"c2", 3}, {"c3", 4}, {"c4", 6}, {"c5", 9}})
    nn::tap(taps, name, all[static_cast<size_t>(row - 1)]);
  return {all[3], all[5], all[8]};
}

void MobileNetV2::visit(nn::Visitor& v) {
  v.child("", stem_);
  int i = 1;
  for (std::vector<InvertedResidual>& blocks : rows_)
    for (InvertedResidual& block : blocks) v.child(fmt::format("features.{}", i++), block);
  v.child("", last_);
}

}  // namespace tessera
