#include "models/sparseinst/encoder.h"

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/pointwise.h"
#include "autograd/pool.h"
#include "nn/intermediates.h"
#include "nn/profile.h"

namespace tessera::sparseinst {

namespace {

constexpr std::array<i64, 4> kBins = {1, 2, 3, 6};

}  // namespace

PyramidPooling::PyramidPooling(i64 channels, Random& random) {  // the convolutions keep their default initialisation
  const i64 part = channels / static_cast<i64>(kBins.size());
  for ([[maybe_unused]] const i64 bins : kBins)
    stages_.emplace_back(nn::Conv2dConfig{.in = channels, .out = part, .activation = ops::Activation::kRelu}, random);
  bottleneck_ = nn::Conv2d(
      {.in = channels + part * static_cast<i64>(kBins.size()), .out = channels, .activation = ops::Activation::kRelu},
      random);
}

Var PyramidPooling::operator()(const Var& x) const {  // [N, h, w, C]
  const nn::Running running(*this);
  std::vector<Var> parts;
  for (size_t k = 0; k < kBins.size(); ++k) {
    const Var means = adaptive_avg_pool2d(x, kBins[k], kBins[k]);  // [N, s, s, C]
    parts.push_back(stages_[k](means));                            // [N, s, s, C/4]
  }
  parts.push_back(x);
  return bottleneck_(concat_resized(parts, x.dim(1), x.dim(2), ops::Interpolation::kBilinear));  // [N, h, w, 2C] -> C
}

void PyramidPooling::visit(nn::Visitor& v) {
  for (size_t k = 0; k < stages_.size(); ++k) v.child(fmt::format("stages.{}.1", k), stages_[k]);  // 0 is the pooling
  v.child("bottleneck", bottleneck_);
}

InstanceContextEncoder::InstanceContextEncoder(const EncoderConfig& config, const std::vector<FeatureLevel>& inputs,
                                               Random& random)
    : config_(config) {
  TESSERA_CHECK(inputs.size() == 3, "sparseinst encoder: three levels are needed, the backbone has {}", inputs.size());
  const i64 C = config.channels;
  for (size_t j = 0; j < inputs.size(); ++j) {
    laterals_.emplace_back(
        nn::Conv2dConfig{.in = inputs[inputs.size() - 1 - j].channels, .out = C, .init = nn::Init::kC2Xavier}, random);
    outputs_.emplace_back(
        nn::Conv2d({.in = C, .out = C, .kernel = 3, .padding = 1, .init = nn::Init::kC2Xavier}, random));
  }
  if (config.ppm) ppm_.emplace(C, random);
  if (config.fusion) {
    fusion_.emplace(nn::Conv2dConfig{.in = 3 * C, .out = C, .init = nn::Init::kC2Msra}, random);
  } else {
    outputs_[0].reset();
    outputs_[1].reset();
  }
}

Var InstanceContextEncoder::operator()(const std::vector<Var>& levels) const {
  const nn::Running running(*this);
  Var top;                   // what comes down from the coarser level
  std::vector<Var> pyramid;  // P5, P4, P3
  for (size_t j = 0; j < laterals_.size(); ++j) {
    const Var lateral = laterals_[j](levels[levels.size() - 1 - j]);  // [N, h, w, C]
    if (j == 0) {
      top = ppm_ ? (*ppm_)(lateral) : lateral;
      nn::keep("ppm", top);
    } else {
      top = lateral + interpolate(top, lateral.dim(1), lateral.dim(2), ops::Interpolation::kNearest);
    }
    if (!outputs_[j]) continue;
    pyramid.push_back((*outputs_[j])(top));
    nn::keep(fmt::format("p{}", 5 - j), pyramid.back());
  }
  Var y = pyramid.back();  // [N, H, W, C]
  if (fusion_)
    y = (*fusion_)(concat_resized({y, pyramid[1], pyramid[0]}, y.dim(1), y.dim(2),
                                  ops::Interpolation::kBilinear));  // [N, H, W, 3C] -> C
  nn::keep("encoder", y);
  return y;
}

void InstanceContextEncoder::visit(nn::Visitor& v) {
  for (size_t j = 0; j < laterals_.size(); ++j) v.child(fmt::format("fpn_laterals.{}", j), laterals_[j]);
  for (size_t j = 0; j < outputs_.size(); ++j) v.child(fmt::format("fpn_outputs.{}", j), outputs_[j]);
  v.child("ppm", ppm_);
  v.child("fusion", fusion_);
}

}  // namespace tessera::sparseinst
