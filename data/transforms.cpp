#include "data/transforms.h"

#include <algorithm>
#include <cmath>

namespace tessera {

ImageSize shortest_side_size(ImageSize size, i64 shortest, i64 longest, ResizeRule rule) {
  TESSERA_CHECK(size.height > 0 && size.width > 0 && shortest > 0 && longest > 0,
                "shortest_side_size: {} x {} to {} with at most {} is impossible", size.height, size.width, shortest,
                longest);
  const double shorter = static_cast<double>(std::min(size.height, size.width));
  const double scale = static_cast<double>(shortest) / shorter;
  double height = static_cast<double>(shortest), width = height;
  const bool detr = rule == ResizeRule::kDetr;  // in its order of operations: 1333 * x / x may come out below 1333
  const auto scaled = [&](i64 side) {
    const double length = static_cast<double>(side);
    return detr ? static_cast<double>(shortest) * length / shorter : scale * length;
  };
  if (size.height < size.width) {
    width = scaled(size.width);
  } else {
    height = scaled(size.height);
  }
  constexpr double kMostSides = 10;
  const double most =
      std::max(static_cast<double>(std::max(size.height, size.width)), kMostSides * static_cast<double>(shortest));
  const double limit = std::min(static_cast<double>(longest), most);
  if (const double larger = std::max(height, width); larger > limit) {
    height = detr ? limit * height / larger : height * (limit / larger);
    width = detr ? limit * width / larger : width * (limit / larger);
  }
  const auto rounded = [&](double side) { return std::max(static_cast<i64>(detr ? side : side + 0.5), i64{1}); };
  return {rounded(height), rounded(width)};
}

ImageSize fitted_size(ImageSize size, ImageSize window, double factor, ResizeRule rule) {
  const auto scaled = [](i64 side, double scale) {
    return std::max(std::llround(static_cast<double>(side) * scale), 1LL);
  };
  if (rule == ResizeRule::kStretch) return {scaled(window.height, factor), scaled(window.width, factor)};
  const double scale = std::min(static_cast<double>(window.height) * factor / static_cast<double>(size.height),
                                static_cast<double>(window.width) * factor / static_cast<double>(size.width));
  return {scaled(size.height, scale), scaled(size.width, scale)};
}

ImageSize plain_size(ImageSize size, ResizeRule rule, i64 shortest, i64 longest, ImageSize window) {
  return has_window(rule) ? fitted_size(size, window, 1, rule) : shortest_side_size(size, shortest, longest, rule);
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

Nearest nearest_of(ResizeRule rule) {
  return rule == ResizeRule::kDetr ? Nearest::kPyTorch : Nearest::kPil;
}

// A chain that does not turn draws nothing for it: older runs go on as they began.
Geometry oriented(const AugmentConfig& config, ImageSize source, Random& random) {
  Geometry geometry(source);
  if (random.chance(config.flip_probability)) geometry.flip();
  if (config.rotate_90_probability > 0 && random.chance(config.rotate_90_probability))
    geometry.turn(static_cast<int>(random.integer(1, 3)));
  return geometry;
}

// A window of that size at a uniform place.
void crop_to(ImageSize window, Geometry& geometry, Random& random) {
  const ImageSize size = geometry.size();
  const i64 top = random.integer(0, size.height - window.height), left = random.integer(0, size.width - window.width);
  geometry.crop(top, left, window);
}

void jitter_scale(const ScaleJitter& jitter, ResizeRule rule, Nearest masks, Geometry& geometry, Random& random) {
  const double factor = random.uniform(jitter.min_scale, jitter.max_scale);
  geometry.resize(fitted_size(geometry.size(), jitter.target, factor, rule), masks);
  const ImageSize size = geometry.size();
  const ImageSize window{std::min(size.height, jitter.target.height), std::min(size.width, jitter.target.width)};
  if (window == size) return;
  crop_to(window, geometry, random);
}

void crop_absolute_range(const AugmentConfig& config, Geometry& geometry, Random& random) {
  const ImageSize size = geometry.size();
  const auto side = [&](i64 whole) {
    return random.integer(std::min(whole, config.crop_min), std::min(whole, config.crop_max));
  };
  const i64 height = side(size.height), width = side(size.width);
  crop_to({height, width}, geometry, random);
}

}  // namespace

Geometry augment_geometry(const AugmentConfig& config, ImageSize source, Random& random) {
  Geometry geometry = oriented(config, source, random);
  const Nearest masks = nearest_of(config.resize);
  if (config.scale_jitter) {
    jitter_scale(*config.scale_jitter, config.resize, masks, geometry, random);
    return geometry;
  }
  const auto resize = [&](const std::vector<i64>& shortest, i64 longest) {
    geometry.resize(shortest_side_size(geometry.size(), choose(shortest, random), longest, config.resize), masks);
  };
  if (random.chance(config.crop_probability)) {
    resize(config.crop_shortest, std::numeric_limits<i64>::max());
    crop_absolute_range(config, geometry, random);
  }
  resize(config.shortest, config.longest);
  return geometry;
}

Geometry tile_geometry(const AugmentConfig& config, ImageSize source, ImageSize tile, Random& random) {
  Geometry geometry = oriented(config, source, random);
  const double height = static_cast<double>(geometry.size().height), width = static_cast<double>(geometry.size().width);
  const double scale = std::max(static_cast<double>(tile.height) / height, static_cast<double>(tile.width) / width);
  const auto side = [&](i64 of_tile, double whole) {
    return std::clamp<i64>(std::llround(static_cast<double>(of_tile) / scale), 1, static_cast<i64>(whole));
  };
  crop_to({side(tile.height, height), side(tile.width, width)}, geometry, random);  // first: what a strip would become
  geometry.resize(tile, nearest_of(config.resize));
  return geometry;
}

}  // namespace tessera
