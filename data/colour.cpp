#include "data/colour.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera {

namespace {

float grey_of(const float* rgb) {
  return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

float cut_off(float value) {
  return std::clamp(value, 0.0f, 255.0f);
}

// rgb = grey + factor * (rgb - grey); of all pixels the same grey, or of each its own.
void blend(std::vector<float>& pixels, float factor, const float* grey) {
  for (size_t i = 0; i < pixels.size(); i += 3) {
    const float from = grey ? *grey : grey_of(&pixels[i]);
    for (size_t c = 0; c < 3; ++c) pixels[i + c] = cut_off(from + factor * (pixels[i + c] - from));
  }
}

float mean_grey(const std::vector<float>& pixels) {
  double sum = 0;
  for (size_t i = 0; i < pixels.size(); i += 3) sum += grey_of(&pixels[i]);
  return static_cast<float>(3 * sum / static_cast<double>(pixels.size()));
}

// From RGB to HSV and back: the hue, counted in sixths of the circle, changes; value and chroma stay.
void turn_hue(std::vector<float>& pixels, float sixths) {
  for (size_t i = 0; i < pixels.size(); i += 3) {
    float* rgb = &pixels[i];
    const auto [r, g, b] = std::array{rgb[0], rgb[1], rgb[2]};
    const float value = std::max({r, g, b}), chroma = value - std::min({r, g, b});
    if (chroma <= 0) continue;
    float hue = value == r ? (g - b) / chroma : value == g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma;
    hue += sixths + 6;  // in [2, 14)
    for (size_t c = 0; c < 3; ++c) {
      float k = hue + (c == 0 ? 5.0f : c == 1 ? 3.0f : 1.0f);
      while (k >= 6) k -= 6;
      rgb[c] = value - chroma * std::clamp(std::min(k, 4 - k), 0.0f, 1.0f);
    }
  }
}

}  // namespace

void jitter_colours(Tensor& image, const ColourJitter& jitter, Random& random) {
  if (!jitter.any()) return;
  std::array order = {0, 1, 2, 3};
  random.shuffle(std::span<int>(order));
  const auto factor = [&](double strength) {
    return static_cast<float>(random.uniform(std::max(0.0, 1 - strength), 1 + strength));
  };
  std::vector<float> pixels(image.span<u8>().begin(), image.span<u8>().end());
  for (const int step : order) {
    if (step == 0 && jitter.brightness > 0) {
      const float black = 0;
      blend(pixels, factor(jitter.brightness), &black);
    } else if (step == 1 && jitter.contrast > 0) {
      const float grey = mean_grey(pixels);
      blend(pixels, factor(jitter.contrast), &grey);
    } else if (step == 2 && jitter.saturation > 0) {
      blend(pixels, factor(jitter.saturation), nullptr);
    } else if (step == 3 && jitter.hue > 0) {
      turn_hue(pixels, static_cast<float>(6 * random.uniform(-jitter.hue, jitter.hue)));
    }
  }
  std::ranges::transform(pixels, image.span<u8>().begin(), [](float value) { return static_cast<u8>(value + 0.5f); });
}

}  // namespace tessera
