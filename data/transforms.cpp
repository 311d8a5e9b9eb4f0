#include "data/transforms.h"

#include <algorithm>
#include <cmath>

namespace tessera {

ImageSize shortest_side_size(ImageSize size, i64 shortest, i64 longest) {
  TESSERA_CHECK(size.height > 0 && size.width > 0 && shortest > 0 && longest > 0,
                "shortest_side_size: {} x {} to {} with at most {} is impossible", size.height, size.width, shortest,
                longest);
  const double scale = static_cast<double>(shortest) / static_cast<double>(std::min(size.height, size.width));
  double height = static_cast<double>(shortest), width = height;
  if (size.height < size.width) {
    width = scale * static_cast<double>(size.width);
  } else {
    height = scale * static_cast<double>(size.height);
  }
  constexpr double kMostSides = 10;
  const double most =
      std::max(static_cast<double>(std::max(size.height, size.width)), kMostSides * static_cast<double>(shortest));
  const double limit = std::min(static_cast<double>(longest), most);
  if (std::max(height, width) > limit) {
    const double shrink = limit / std::max(height, width);
    height *= shrink;
    width *= shrink;
  }
  return {std::max(static_cast<i64>(height + 0.5), i64{1}), std::max(static_cast<i64>(width + 0.5), i64{1})};
}

void check(const AugmentConfig& config) {
  check_fields("augment", config);
  TESSERA_CHECK(!config.shortest.empty() && !config.crop_shortest.empty(),
                "augment: shortest and crop_shortest each need at least one side length");
  TESSERA_CHECK(config.crop_min <= config.crop_max, "augment: crop_min {} is above crop_max {}", config.crop_min,
                config.crop_max);
  if (config.scale_jitter) {
    const ScaleJitter& jitter = *config.scale_jitter;
    TESSERA_CHECK(jitter.min_scale > 0 && jitter.min_scale <= jitter.max_scale && std::isfinite(jitter.max_scale),
                  "augment: scale_jitter from {} to {} must satisfy 0 < min_scale <= max_scale", jitter.min_scale,
                  jitter.max_scale);
    TESSERA_CHECK(jitter.target.height > 0 && jitter.target.width > 0, "augment: scale_jitter's target is {} x {}",
                  jitter.target.height, jitter.target.width);
  }
}

namespace {

i64 choose(const std::vector<i64>& values, Random& random) {
  return values[static_cast<size_t>(random.integer(0, static_cast<i64>(values.size()) - 1))];
}

void jitter_scale(const ScaleJitter& jitter, Geometry& geometry, Random& random) {
  const auto [height, width] = geometry.size();
  const double factor = random.uniform(jitter.min_scale, jitter.max_scale);
  const double scale = std::min(static_cast<double>(jitter.target.height) * factor / static_cast<double>(height),
                                static_cast<double>(jitter.target.width) * factor / static_cast<double>(width));
  const auto scaled = [&](i64 side) { return std::max(std::llround(static_cast<double>(side) * scale), 1LL); };
  geometry.resize({scaled(height), scaled(width)});
  const ImageSize size = geometry.size();
  const ImageSize window{std::min(size.height, jitter.target.height), std::min(size.width, jitter.target.width)};
  if (window == size) return;
  const i64 top = random.integer(0, size.height - window.height), left = random.integer(0, size.width - window.width);
  geometry.crop(top, left, window);
}

void crop_absolute_range(const AugmentConfig& config, Geometry& geometry, Random& random) {
  const ImageSize size = geometry.size();
  const auto side = [&](i64 whole) {
    return random.integer(std::min(whole, config.crop_min), std::min(whole, config.crop_max));
  };
  const i64 height = side(size.height), width = side(size.width);
  const i64 top = random.integer(0, size.height - height), left = random.integer(0, size.width - width);
  geometry.crop(top, left, {height, width});
}

}  // namespace

Geometry augment_geometry(const AugmentConfig& config, ImageSize source, Random& random) {
  Geometry geometry(source);
  if (random.chance(config.flip_probability)) geometry.flip();
  if (config.scale_jitter) {
    jitter_scale(*config.scale_jitter, geometry, random);
    return geometry;
  }
  if (random.chance(config.crop_probability)) {
    geometry.resize(shortest_side_size(geometry.size(), choose(config.crop_shortest, random)));
    crop_absolute_range(config, geometry, random);
  }
  geometry.resize(shortest_side_size(geometry.size(), choose(config.shortest, random), config.longest));
  return geometry;
}

}  // namespace tessera
