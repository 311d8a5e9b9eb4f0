#include "models/necks/fpn.h"

#include "autograd/interpolate.h"
#include "autograd/pointwise.h"
#include "nn/profile.h"

namespace tessera {

std::vector<Var> top_down(const std::vector<nn::Conv2d>& laterals, const std::vector<Var>& maps) {
  std::vector<Var> sums(maps.size());
  for (size_t k = maps.size(); k-- > 0;) {
    sums[k] = laterals[k](maps[k]);
    if (k + 1 < maps.size())
      sums[k] = sums[k] + interpolate(sums[k + 1], maps[k].dim(1), maps[k].dim(2), ops::Interpolation::kNearest);
  }
  return sums;
}

FpnNeck::FpnNeck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random) : Neck(config, in) {
  const i64 C = config.channels;
  for (const FeatureLevel& level : in)
    lateral_convs_.emplace_back(nn::Conv2dConfig{.in = level.channels, .out = C, .init = nn::Init::kXavier}, random);
  for (const FeatureLevel& level : levels())
    fpn_convs_.emplace_back(nn::Conv2dConfig{.in = C,
                                             .out = C,
                                             .kernel = 3,
                                             .stride = level.stride > in.back().stride ? 2 : 1,
                                             .padding = 1,
                                             .init = nn::Init::kXavier},
                            random);
}

std::vector<Var> FpnNeck::operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& /*sizes*/,
                                     ImageSize /*padded*/) {
  const nn::Running running(*this);
  const std::vector<Var> laterals = top_down(lateral_convs_, maps);  // [N, h, w, C]
  std::vector<Var> pyramid;
  for (size_t k = 0; k < fpn_convs_.size(); ++k) {
    const Var& from = k < laterals.size() ? laterals[k] : k == laterals.size() ? laterals.back() : pyramid.back();
    pyramid.push_back(fpn_convs_[k](k > laterals.size() ? relu(from) : from));  // P6, P7: [N, h/2, w/2, C]
  }
  return pyramid;
}

void FpnNeck::visit(nn::Visitor& v) {
  for (size_t k = 0; k < lateral_convs_.size(); ++k)
    v.child(fmt::format("body.lateral_convs.{}.conv", k), lateral_convs_[k]);
  for (size_t k = 0; k < fpn_convs_.size(); ++k) v.child(fmt::format("body.fpn_convs.{}.conv", k), fpn_convs_[k]);
}

}  // namespace tessera
