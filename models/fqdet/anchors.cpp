#include "models/fqdet/anchors.h"

#include <algorithm>
#include <cmath>

#include "ops/arrange.h"
#include "ops/pointwise.h"

namespace tessera::fqdet {

namespace {

Tensor corners_of(const AnchorConfig& config, i64 stride) {
  std::vector<float> corners;
  for (i64 j = 0; j < config.sizes; ++j)
    for (const double ratio : config.ratios) {
      const double octave = static_cast<double>(j) / static_cast<double>(config.sizes);
      const double size = 4 * static_cast<double>(stride) * std::exp2(octave);
      const double width = size / std::sqrt(ratio), height = ratio * width;
      for (const double corner : {-width, -height, width, height}) corners.push_back(static_cast<float>(corner / 2));
    }
  return Tensor::from(corners, {1, 1, static_cast<i64>(corners.size()) / 4, 4});
}

// The centres of `count` cells along one axis, in the columns of that axis, `first` and `first` + 2, of [count, 4].
Tensor centres_of(i64 count, i64 stride, i64 first) {
  Tensor centres = Tensor::zeros({count, 4});
  for (i64 i = 0; i < count; ++i)
    for (const i64 column : {first, first + 2})
      centres.data<float>()[4 * i + column] =
          static_cast<float>(static_cast<double>(stride) * (static_cast<double>(i) + 0.5));
  return centres;
}

bool same(const std::vector<ops::LevelSize>& a, const std::vector<ops::LevelSize>& b) {
  return std::ranges::equal(a, b, [](const ops::LevelSize& x, const ops::LevelSize& y) {
    return x.height == y.height && x.width == y.width;
  });
}

}  // namespace

AnchorGrid::AnchorGrid(const AnchorConfig& config, const std::vector<FeatureLevel>& levels)
    : kinds_(config.sizes * static_cast<i64>(config.ratios.size())), levels_(levels) {
  TESSERA_CHECK(kinds_ > 0, "fqdet: anchors.ratios is empty; a cell needs at least one box");
  for (const FeatureLevel& level : levels) corners_.push_back(corners_of(config, level.stride));
}

const Tensor& AnchorGrid::operator()(const std::vector<ops::LevelSize>& sizes, Device device) {
  TESSERA_CHECK(sizes.size() == levels_.size(), "fqdet: {} maps came, there are {} levels", sizes.size(),
                levels_.size());
  if (anchors_ && anchors_.device() == device && same(sizes, sizes_)) return anchors_;
  std::vector<Tensor> levels;
  for (size_t l = 0; l < sizes.size(); ++l) {
    const auto [h, w] = sizes[l];
    const Tensor x = centres_of(w, levels_[l].stride, 0).reshape({1, w, 1, 4}).to(device);
    const Tensor y = centres_of(h, levels_[l].stride, 1).reshape({h, 1, 1, 4}).to(device);
    levels.push_back(ops::add(y, ops::add(x, corners_[l].to(device))).reshape({h * w * kinds_, 4}));
  }
  sizes_ = sizes;
  anchors_ = ops::concat(levels, 0);
  return anchors_;
}

}  // namespace tessera::fqdet
