#include "data/colour.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace tessera {
namespace {

Tensor picture_of(std::vector<u8> pixels) {
  const i64 count = std::ssize(pixels) / 3;
  return Tensor::from(pixels, {1, count, 3});
}

std::vector<u8> jittered(const std::vector<u8>& pixels, const ColourJitter& jitter, u64 stream) {
  Tensor picture = picture_of(pixels);
  Random random(3, stream);
  jitter_colours(picture, jitter, random);
  return {picture.span<u8>().begin(), picture.span<u8>().end()};
}

const std::vector<u8> kPixels = {0, 0, 0, 200, 100, 50, 90, 90, 90, 10, 60, 240};

TEST_CASE("colours: without a strength nothing changes and no number is drawn") {
  Random random(3, 1), untouched(3, 1);
  Tensor picture = picture_of(kPixels);
  jitter_colours(picture, {}, random);
  CHECK(std::ranges::equal(picture.span<u8>(), kPixels));
  CHECK(random.bits() == untouched.bits());
}

TEST_CASE("colours: brightness multiplies all by one factor of its range, and cuts off at 255") {
  double least = 2, most = 0;
  for (u64 stream = 0; stream < 200; ++stream) {
    const std::vector<u8> after = jittered(kPixels, {.brightness = 0.5}, stream);
    const double factor = after[4] / 100.0;  // of the middle channel of the second pixel
    least = std::min(least, factor), most = std::max(most, factor);
    CHECK(after[0] == 0);
    for (size_t i = 0; i < kPixels.size(); ++i) CHECK(std::abs(after[i] - std::min(255.0, kPixels[i] * factor)) < 2);
  }
  CHECK(least >= 0.5);
  CHECK(least < 0.53);
  CHECK(most <= 1.5);
  CHECK(most > 1.47);
}

TEST_CASE("colours: contrast keeps the picture's mean grey, saturation that of each pixel") {
  const auto grey = [](const std::vector<u8>& p, size_t i) {
    return 0.299 * p[i] + 0.587 * p[i + 1] + 0.114 * p[i + 2];
  };
  const std::vector<u8> soft = {120, 110, 100, 90, 100, 140};  // nothing is cut off
  for (u64 stream = 0; stream < 50; ++stream) {
    const std::vector<u8> contrast = jittered(soft, {.contrast = 0.4}, stream);
    CHECK(std::abs(grey(contrast, 0) + grey(contrast, 3) - grey(soft, 0) - grey(soft, 3)) < 2);
    const std::vector<u8> saturation = jittered(soft, {.saturation = 0.9}, stream);
    for (const size_t i : {0, 3}) CHECK(std::abs(grey(saturation, i) - grey(soft, i)) < 1);
    CHECK(jittered({90, 90, 90}, {.saturation = 0.9}, stream) == std::vector<u8>{90, 90, 90});
  }
}

TEST_CASE("colours: hue keeps the largest and the smallest channel, and a third of the circle moves red to green") {
  std::set<std::vector<u8>> seen;
  for (u64 stream = 0; stream < 400; ++stream) {
    const std::vector<u8> after = jittered({200, 100, 50}, {.hue = 0.5}, stream);
    CHECK(std::ranges::max(after) == 200);
    CHECK(std::ranges::min(after) == 50);
    seen.insert({after[0] == 200, after[1] == 200, after[2] == 200});
    const std::vector<u8> near = jittered({200, 100, 50}, {.hue = 0.05}, stream);  // up to 18 degrees, 45 levels
    CHECK(near[0] == 200);
    CHECK(std::abs(near[1] - 100) <= 46);
    CHECK(jittered({90, 90, 90}, {.hue = 0.5}, stream) == std::vector<u8>{90, 90, 90});
  }
  CHECK(seen.size() >= 3);
}

}  // namespace
}  // namespace tessera
