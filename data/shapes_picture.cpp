// Draws one picture of the shapes data set.
//
// Objects are laid down from bottom to top, and what is left of each is known only when all lie: so the owner of every
// pixel is found first, objects that are mostly hidden are taken away (which may uncover others), and colour comes
// last.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/shapes.h"
#include "tensor/random.h"

namespace tessera {

namespace {

using Colour = std::array<double, 3>;

constexpr double kLeastVisible = 0.35;  // share of an object's pixels
constexpr i64 kLeastPixels = 24;        // visible
constexpr double kLeastContrast = 70;   // Euclidean distance of mean colours, 0..255 per channel

enum class Pattern { kStripes, kGradient, kBlotches };  // as kGroundNames has them

// Two colours and a rule that mixes them.
struct Texture {
  Pattern pattern;
  Colour first, second;
  double direction_x, direction_y;  // of stripes and gradient
  double period, phase;             // pixels, radians
  double grain;                     // standard deviation of per-pixel noise

  Colour mean() const { return {(first[0] + second[0]) / 2, (first[1] + second[1]) / 2, (first[2] + second[2]) / 2}; }
  // Share of the second colour at (x, y), 0 to 1.
  double mix(double x, double y) const {
    const double along = x * direction_x + y * direction_y, across = y * direction_x - x * direction_y;
    const double turn = 2 * std::numbers::pi / period;
    switch (pattern) {
      case Pattern::kStripes:
        return std::sin(turn * along + phase) > 0 ? 1 : 0;
      case Pattern::kGradient:
        return 0.5 + 0.5 * std::sin(0.2 * turn * along + phase);
      case Pattern::kBlotches:
        return 0.5 + 0.25 * (std::sin(turn * along + phase) +
                             std::sin(0.7 * turn * across + 2 * phase + std::sin(turn * along)));
    }
    return 0;
  }
};

struct Object {
  ShapesKind kind;
  i64 shape;            // index into shape_names(kind)
  double x, y, radius;  // centre and circumscribed circle, pixels
  double cosine, sine;  // of the rotation
  double aspect;        // rectangle: height over width
  i64 points;           // star, asterisk; half of the gear's teeth
  Texture texture;

  bool covers(double px, double py) const {
    const double dx = (px - x) / radius, dy = (py - y) / radius;
    const double u = dx * cosine + dy * sine, v = dy * cosine - dx * sine;
    return kind == ShapesKind::kPlain ? covers_plain(u, v) : covers_fine(u, v);
  }

 private:
  // In the object's own frame, in which its circle has radius 1.
  bool covers_plain(double u, double v) const {
    if (shape == 0) return u * u + v * v <= 1;
    if (shape == 1) {
      const double half_width = 1 / std::sqrt(1 + aspect * aspect);
      return std::abs(u) <= half_width && std::abs(v) <= aspect * half_width;
    }
    // Equilateral, corners on the circle: three half planes at distance 1/2 from the centre.
    const double slanted = std::abs(u) * std::numbers::sqrt3 / 2;
    return v <= 0.5 && slanted - v / 2 <= 0.5;
  }

  // All points are alike, so the half of one decides: `angle` is that to the nearest point's tip, at distance 1.
  bool covers_fine(double u, double v) const {
    const double half = std::numbers::pi / static_cast<double>(shape == 1 ? 2 * points : points);
    const double distance = std::hypot(u, v), angle = std::abs(std::remainder(std::atan2(v, u), 2 * half));
    if (shape == 1) return distance >= 0.3 && distance <= (angle <= half / 2 ? 1 : 0.78);
    const double along = distance * std::cos(angle), across = distance * std::sin(angle);
    if (shape == 2) return distance <= 1 && across <= 0.08;
    // Below the line from the tip (1, 0) to the notch between two tips.
    const double notch_x = 0.42 * std::cos(half), notch_y = 0.42 * std::sin(half);
    return notch_y * (1 - along) >= across * (1 - notch_x);
  }
};

Texture random_texture(Random& random) {
  Texture texture;
  texture.pattern = static_cast<Pattern>(random.integer(0, 2));
  for (size_t c = 0; c < 3; ++c) {
    const double middle = random.uniform(30, 225), half_span = random.uniform(8, 30);
    texture.first[c] = middle - half_span;
    texture.second[c] = middle + half_span;
  }
  const double angle = random.uniform(-std::numbers::pi / 8, std::numbers::pi / 8);
  texture.direction_x = std::cos(angle);
  texture.direction_y = std::sin(angle);
  texture.period = random.uniform(5, 16);
  texture.phase = random.uniform(0, 2 * std::numbers::pi);
  texture.grain = random.uniform(2, 8);
  return texture;
}

// A texture whose mean colour differs from all of `others`; the last attempt is taken as it is.
Texture contrasting_texture(const std::vector<Texture>& others, Random& random) {
  const auto contrast = [](const Texture& a, const Texture& b) {
    const Colour p = a.mean(), q = b.mean();
    return std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
  };
  Texture texture = random_texture(random);
  for (int attempt = 0; attempt < 30; ++attempt) {
    if (std::ranges::all_of(others, [&](const Texture& other) { return contrast(texture, other) >= kLeastContrast; }))
      break;
    texture = random_texture(random);
  }
  return texture;
}

Object random_object(const ShapesConfig& config, i64 height, i64 width, Random& random) {
  Object object;
  object.kind = config.kind;
  object.shape = random.integer(0, static_cast<i64>(shape_names(config.kind).size()) - 1);
  // Small and large alike: radius from 1/9 to 1/3 of the side (fine: 1/6 to 2/5), logarithmically uniform.
  const double side = static_cast<double>(config.cityscapes ? height : config.size);
  const bool fine = config.kind == ShapesKind::kFine;
  object.radius = side / (fine ? 6 : 9) * std::pow(fine ? 2.4 : 3.0, random.uniform());
  const auto place = [&](i64 length) {  // at most half of the radius may leave the picture
    return random.uniform(0.5 * object.radius, static_cast<double>(length) - 0.5 * object.radius);
  };
  object.x = place(width);
  object.y = place(height);
  const double angle = random.uniform(-std::numbers::pi / 8, std::numbers::pi / 8);
  object.cosine = std::cos(angle);
  object.sine = std::sin(angle);
  object.aspect = random.uniform(0.5, 1);
  object.points = fine ? random.integer(5, 8) : 0;
  return object;
}

// Which object (1-based, 0 for none) is on top at every pixel centre, and how many pixels each covers and shows.
struct Layers {
  Tensor owners;
  std::vector<i64> covered, visible;
};

Layers lay(const std::vector<Object>& objects, i64 height, i64 width) {
  Layers layers{Tensor::zeros({height, width}, DType::kU8), std::vector<i64>(objects.size()),
                std::vector<i64>(objects.size())};
  u8* owner = layers.owners.data<u8>();
  for (i64 y = 0; y < height; ++y) {
    for (i64 x = 0; x < width; ++x, ++owner) {
      for (size_t k = 0; k < objects.size(); ++k) {
        if (!objects[k].covers(static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5)) continue;
        *owner = static_cast<u8>(k + 1);
        ++layers.covered[k];
      }
      if (*owner > 0) ++layers.visible[*owner - 1];
    }
  }
  return layers;
}

Tensor paint(const Tensor& owners, const Texture& ground, const std::vector<Object>& objects, Random& random) {
  const i64 height = owners.dim(0), width = owners.dim(1);
  Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
  const u8* owner = owners.data<u8>();
  u8* out = image.data<u8>();
  for (i64 y = 0; y < height; ++y) {
    for (i64 x = 0; x < width; ++x, ++owner, out += 3) {
      const Texture& texture = *owner > 0 ? objects[*owner - 1].texture : ground;
      const double mix = texture.mix(static_cast<double>(x), static_cast<double>(y));
      // Uniform with the standard deviation `grain`.
      const double noise = (random.uniform() - 0.5) * std::sqrt(12.0) * texture.grain;
      for (size_t c = 0; c < 3; ++c) {
        const double value = texture.first[c] + mix * (texture.second[c] - texture.first[c]) + noise;
        out[c] = static_cast<u8>(std::clamp(std::lround(value), 0L, 255L));
      }
    }
  }
  return image;
}

}  // namespace

void check(const ShapesConfig& config) {
  TESSERA_CHECK(config.train >= 0 && config.val >= 0, "shapes: {} train and {} val pictures: expected at least 0",
                config.train, config.val);
  TESSERA_CHECK(config.size >= 32 && config.size <= 4096, "shapes: size is {}, expected 32 to 4096 pixels",
                config.size);
  TESSERA_CHECK(config.max_objects >= 1 && config.max_objects <= 100, "shapes: max_objects is {}, expected 1 to 100",
                config.max_objects);
  TESSERA_CHECK(!config.panoptic || !config.cityscapes, "shapes: panoptic files are COCO's, not Cityscapes'");
}

ShapesPicture draw_shapes(const ShapesConfig& config, ShapesSplit split, i64 index) {
  check(config);
  Random random(config.seed, stream_of("shapes", {static_cast<u64>(split), static_cast<u64>(index)}));
  const i64 height = config.cityscapes ? config.size / 2 : random.integer(config.size * 3 / 4, config.size);
  const i64 width = config.cityscapes ? config.size : random.integer(config.size * 3 / 4, config.size);
  const Texture ground = random_texture(random);
  std::vector<Texture> textures = {ground};
  std::vector<Object> objects(static_cast<size_t>(random.integer(config.cityscapes ? 0 : 1, config.max_objects)));
  for (Object& object : objects) {
    object = random_object(config, height, width, random);
    object.texture = contrasting_texture(textures, random);
    textures.push_back(object.texture);
  }
  Layers layers = lay(objects, height, width);
  const auto hidden = [&](size_t k) {
    return layers.visible[k] < kLeastPixels ||
           static_cast<double>(layers.visible[k]) < kLeastVisible * static_cast<double>(layers.covered[k]);
  };
  for (size_t k = 0; k < objects.size();) {  // taking one away may uncover those below it: look at all again
    if (!hidden(k)) {
      ++k;
      continue;
    }
    objects.erase(objects.begin() + static_cast<std::ptrdiff_t>(k));
    layers = lay(objects, height, width);
    k = 0;
  }
  ShapesPicture picture{
      paint(layers.owners, ground, objects, random), layers.owners, {}, {}, static_cast<i64>(ground.pattern)};
  for (const Object& object : objects) {
    picture.classes.push_back(object.shape);
    picture.filling.push_back(static_cast<i64>(object.texture.pattern));
  }
  return picture;
}

}  // namespace tessera
