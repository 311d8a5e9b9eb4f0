#include "models/fassst/masks.h"

#include "autograd/arrange.h"
#include "autograd/interpolate.h"
#include "autograd/pointwise.h"
#include "autograd/roi_align.h"
#include "models/necks/fpn.h"
#include "nn/init.h"
#include "nn/profile.h"

namespace tessera::fassst {

namespace {

constexpr size_t kLevels = 3;
constexpr i64 kPoints = 2, kGroups = 32;
constexpr double kDeconvStd = 0.01;

Var twice(const Var& x) {
  return interpolate(x, 2 * x.dim(1), 2 * x.dim(2), ops::Interpolation::kBilinear);
}

}  // namespace

Pyramid::Pyramid(i64 channels, const std::vector<FeatureLevel>& in, Random& random) {
  for (const FeatureLevel& level : in)
    laterals_.emplace_back(nn::Conv2dConfig{.in = level.channels, .out = channels, .init = nn::Init::kXavier}, random);
  for (size_t k = 0; k < kLevels; ++k)
    outputs_.emplace_back(
        nn::Conv2dConfig{.in = channels, .out = channels, .kernel = 3, .padding = 1, .init = nn::Init::kXavier},
        random);
}

std::vector<Var> Pyramid::operator()(const std::vector<Var>& maps) {
  const nn::Running running(*this);
  const std::vector<Var> sums = top_down(laterals_, maps);
  std::vector<Var> pyramid;
  for (size_t k = 0; k < kLevels; ++k) pyramid.push_back(outputs_[k](sums[k]));
  return pyramid;
}

void Pyramid::visit(nn::Visitor& v) {
  for (size_t k = 0; k < laterals_.size(); ++k) v.child(fmt::format("lateral.{}", k), laterals_[k]);
  for (size_t k = 0; k < outputs_.size(); ++k) v.child(fmt::format("output.{}", k), outputs_[k]);
}

std::vector<Var> region_features(const std::vector<Var>& levels, i64 first_stride, const Tensor& regions, i64 S) {
  std::vector<Var> features;
  for (size_t k = 0; k < levels.size(); ++k)
    features.push_back(roi_align(levels[k], Var(regions),
                                 {.height = S >> k,
                                  .width = S >> k,
                                  .spatial_scale = 1 / static_cast<double>(first_stride << k),
                                  .sampling_ratio = kPoints,
                                  .aligned = true}));
  return features;
}

Var fuse_regions(const std::vector<Var>& features) {
  Var sum = features.back();
  for (size_t k = features.size() - 1; k-- > 0;) sum = features[k] + twice(sum);
  return relu(sum);
}

MaskTail::MaskTail(const MaskConfig& config, Random& random) {
  const i64 C = config.channels;
  for (i64 i = 0; i < config.depth; ++i) {
    convs_.emplace_back(
        nn::Conv2dConfig{.in = C,
                         .out = C,
                         .kernel = 3,
                         .padding = 1,
                         .activation = config.group_norm ? ops::Activation::kNone : ops::Activation::kRelu,
                         .init = nn::Init::kC2Msra},
        random);
    if (config.group_norm) norms_.emplace_back(kGroups, C);
  }
  deconv_ =
      nn::ConvTranspose2d({.in = C, .out = 1, .kernel = 4, .stride = 2, .padding = 1, .init = nn::Init::kZero}, random);
  nn::init_normal(deconv_.weight, kDeconvStd, random);
}

Var MaskTail::operator()(Var x) const {
  const nn::Running running(*this);
  for (size_t i = 0; i < convs_.size(); ++i) {
    x = convs_[i](x);
    if (!norms_.empty()) x = relu(norms_[i](x));
  }
  const Var y = cast(deconv_(x), DType::kF32);  // [R, 2 S, 2 S, 1]
  return reshape(y, {y.dim(0), y.dim(1), y.dim(2)});
}

void MaskTail::visit(nn::Visitor& v) {
  for (size_t i = 0; i < convs_.size(); ++i) v.child(fmt::format("convs.{}", i), convs_[i]);
  for (size_t i = 0; i < norms_.size(); ++i) v.child(fmt::format("norms.{}", i), norms_[i]);
  v.child("deconv", deconv_);
}

}  // namespace tessera::fassst
