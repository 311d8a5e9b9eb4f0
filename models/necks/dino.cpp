#include "models/necks/dino.h"

#include <algorithm>

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/pointwise.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"

namespace tessera {

namespace {

constexpr i64 kLevels = 5;  // P3 .. P7 are encoded
constexpr double kTemperature = 10000;

}  // namespace

DinoEncoder::DinoEncoder(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random)
    : config_(config),
      level_embed_(Tensor::empty({kLevels, config.channels}), true),
      adapter_("adapter_1", "adapter_1.norm",
               {.in = in[0].channels, .out = config.channels, .bias = false, .init = nn::Init::kC2Xavier}, random),
      layer_("layer_1", "layer_1.norm",
             {.in = config.channels,
              .out = config.channels,
              .kernel = 3,
              .padding = 1,
              .bias = false,
              .init = nn::Init::kC2Xavier},
             random),
      mask_features_({.in = config.channels, .out = config.channels, .init = nn::Init::kC2Xavier}, random) {
  const i64 C = config.channels;
  const auto project = [&](i64 channels, i64 kernel, i64 stride) {
    const std::string name = fmt::format("input_proj.{}", input_proj_.size());
    input_proj_.emplace_back(name + ".0", name + ".1",
                             nn::Conv2dConfig{.in = channels,
                                              .out = C,
                                              .kernel = kernel,
                                              .stride = stride,
                                              .padding = kernel / 2,
                                              .init = nn::Init::kXavier},
                             random);
  };
  for (size_t k = 3; k > 0; --k) project(in[k].channels, 1, 1);
  project(in[3].channels, 3, 2);
  project(C, 3, 2);
  nn::init_normal(level_embed_, 1, random);
  for (i64 i = 0; i < config.layers; ++i)
    layers_.emplace_back(
        EncoderLayerConfig{
            .attention = {.channels = C, .heads = config.heads, .levels = kLevels, .points = config.points},
            .ffn = config.ffn},
        random);
}

Var DinoEncoder::positions(const LevelSizes& levels, Device device) const {
  LevelSizes order = levels;
  if (config_.pe_order_bug) std::swap(order[0], order[1]);
  std::vector<Var> parts;
  for (i64 l = 0; l < kLevels; ++l) {
    const ops::LevelSize& level = order[static_cast<size_t>(l)];
    const Var sine(sine_positions(level, {level}, config_.channels, kTemperature, device));  // [1, h w, C]
    parts.push_back(sine + slice(level_embed_, 0, l, l + 1));
  }
  return concat(parts, 1);
}

std::vector<Var> DinoEncoder::operator()(const std::vector<Var>& maps) const {  // [N, h, w, channels of C2 .. C5]
  const nn::Running running(*this);
  const Var p5 = input_proj_[0](maps[3]), p4 = input_proj_[1](maps[2]), p3 = input_proj_[2](maps[1]);  // [N, h, w, C]
  const Var p6 = input_proj_[3](maps[3]), p7 = input_proj_[4](p6);                                     // [N, h, w, C]
  const std::vector<Var> coarse_first{p7, p6, p5, p4, p3};
  const LevelSizes levels = sizes_of(coarse_first);

  Var tokens = tokens_of(coarse_first);  // [N, S, C]
  const Device device = tokens.value().device();
  const Var at = cast(positions(levels, device), tokens.value().dtype());  // [1, S, C]
  nn::keep("positions", at);
  const std::vector<LevelSizes> valid(static_cast<size_t>(tokens.dim(0)), levels);
  const Var reference(reference_points(levels, valid).to(device));  // [N, S, 5, 2]
  for (const EncoderLayer& layer : layers_) tokens = layer(tokens, at, reference, levels);

  std::vector<Var> pyramid = maps_of(tokens, levels);  // P7 .. P3
  const Var lateral = adapter_(maps[0]);               // [N, H/4, W/4, C]
  const Var fine = interpolate(pyramid.back(), lateral.dim(1), lateral.dim(2), ops::Interpolation::kBilinear);
  pyramid.push_back(mask_features_(relu(layer_(lateral + fine))));  // P2
  std::ranges::reverse(pyramid);
  return pyramid;
}

void DinoEncoder::visit(nn::Visitor& v) {
  for (ConvGroupNorm& projection : input_proj_) v.child("", projection);
  v.parameter("transformer.level_embed", level_embed_);
  for (size_t i = 0; i < layers_.size(); ++i) v.child(fmt::format("transformer.encoder.layers.{}", i), layers_[i]);
  v.child("mask_features", mask_features_);
  v.child("", adapter_);
  v.child("", layer_);
}

DinoNeck::DinoNeck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random)
    : Neck(config, in), dino_(config, in, random) {
  for (const FeatureLevel& level : levels())
    projections_.emplace_back(nn::Conv2dConfig{.in = level.channels, .out = level.channels}, random);
}

std::vector<Var> DinoNeck::operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& /*sizes*/,
                                      ImageSize /*padded*/) {
  const nn::Running running(*this);
  std::vector<Var> pyramid = dino_(maps);
  for (size_t k = 0; k < pyramid.size(); ++k) pyramid[k] = projections_[k](pyramid[k]);  // [N, h, w, C]
  return pyramid;
}

void DinoNeck::visit(nn::Visitor& v) {
  v.child("dino", dino_);
  for (size_t k = 0; k < projections_.size(); ++k) v.child(fmt::format("proj.sub_modules.{}", k), projections_[k]);
}

}  // namespace tessera
