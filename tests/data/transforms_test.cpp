#include "data/transforms.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "tests/support/check_error.h"

namespace tessera {
namespace {

// A picture whose pixel (y, x) holds (x, y, 0).
Tensor coordinates_image(i64 height, i64 width) {
  Tensor image = Tensor::zeros({height, width, 3}, DType::kU8);
  for (i64 y = 0; y < height; ++y) {
    for (i64 x = 0; x < width; ++x) {
      image.data<u8>()[(y * width + x) * 3] = static_cast<u8>(x);
      image.data<u8>()[(y * width + x) * 3 + 1] = static_cast<u8>(y);
    }
  }
  return image;
}

double area(const std::vector<Polygon>& polygons) {  // shoelace
  double sum = 0;
  for (const Polygon& p : polygons) {
    double twice = 0;
    for (size_t i = 0; i < p.size(); i += 2) {
      const size_t j = (i + 2) % p.size();
      twice += p[i] * p[j + 1] - p[j] * p[i + 1];
    }
    sum += std::abs(twice) / 2;
  }
  return sum;
}

TEST_CASE("shortest_side_size: the shorter side decides until the longer one would be too long") {
  CHECK(shortest_side_size({480, 640}, 640, 853) == ImageSize{640, 853});
  CHECK(shortest_side_size({640, 480}, 640, 853) == ImageSize{853, 640});
  CHECK(shortest_side_size({426, 640}, 640, 853) == ImageSize{568, 853});
  CHECK(shortest_side_size({500, 500}, 608, 853) == ImageSize{608, 608});
  CHECK(shortest_side_size({375, 500}, 448, 853) == ImageSize{448, 597});  // 597.33
  CHECK(shortest_side_size({427, 640}, 416, 853) == ImageSize{416, 624});  // 623.51
  CHECK(shortest_side_size({2, 100000}, 640, 853) == ImageSize{1, 853});   // never empty
  CHECK_ERROR(shortest_side_size({0, 5}, 640, 853), "impossible");
}

TEST_CASE("shortest_side_size: a strip is not enlarged beyond ten shorter sides, all else is as without that rule") {
  for (const ImageSize strip : {ImageSize{1, 9000}, {9000, 1}, {10, 3000}, {4096, 16}, {1, 1000000}, {2, 21}}) {
    const ImageSize size = shortest_side_size(strip, 600);
    INFO(strip.height, " x ", strip.width, " becomes ", size.height, " x ", size.width);
    CHECK(size.height * size.width <= std::max<i64>(600 * 6000, strip.height * strip.width));
    CHECK(std::min(size.height, size.width) >= std::min(strip.height, strip.width));
  }
  CHECK(shortest_side_size({1, 9000}, 600) == ImageSize{1, 9000});
  CHECK(shortest_side_size({10, 3000}, 600) == ImageSize{20, 6000});
  CHECK(shortest_side_size({60, 601}, 600) == ImageSize{599, 6000});
  CHECK(shortest_side_size({60, 600}, 600) == ImageSize{600, 6000});
  CHECK(shortest_side_size({600, 30000}, 600) == ImageSize{600, 30000});   // as large as before
  CHECK(shortest_side_size({1200, 30000}, 600) == ImageSize{600, 15000});  // shrinks
}

TEST_CASE("shortest_side_size: DETR rounds down, and its longer side may miss the limit by one") {
  const auto detr = [](ImageSize size, i64 shortest) {
    return shortest_side_size(size, shortest, 1333, ResizeRule::kDetr);
  };
  CHECK(detr({480, 640}, 800) == ImageSize{800, 1066});  // 1066.67
  CHECK(detr({640, 427}, 800) == ImageSize{1199, 800});  // 1199.06
  CHECK(detr({500, 500}, 608) == ImageSize{608, 608});
  CHECK(detr({375, 1242}, 800) == ImageSize{402, 1333});  // 402.47
  i64 missed = 0, limited = 0;
  for (i64 height = 100; height < 300; ++height)
    for (i64 width = 500; width < 650; ++width) {
      const ImageSize size = detr({height, width}, 800);
      if (800 * width <= 1333 * height) continue;
      ++limited;
      missed += size.width == 1332;
      CHECK(size.width >= 1332);
      CHECK(size.width <= 1333);
    }
  CHECK(missed > limited / 200);
  CHECK(missed < limited / 20);
}

TEST_CASE("fitted_size: the whole picture lies in the window and touches it") {
  CHECK(fitted_size({480, 640}, {416, 416}) == ImageSize{312, 416});
  CHECK(fitted_size({640, 427}, {416, 416}) == ImageSize{416, 278});  // 277.55
  CHECK(fitted_size({1024, 2048}, {512, 1024}) == ImageSize{512, 1024});
  CHECK(fitted_size({1, 10000}, {416, 416}) == ImageSize{1, 416});
  CHECK(fitted_size({100, 50}, {200, 200}, 0.5) == ImageSize{100, 50});
  CHECK(plain_size({480, 640}, ResizeRule::kLetterbox, 1, 1, {96, 96}) == ImageSize{72, 96});
  CHECK(plain_size({480, 640}, ResizeRule::kStretch, 1, 1, {96, 64}) == ImageSize{96, 64});
  CHECK(fitted_size({480, 640}, {96, 64}, 0.5, ResizeRule::kStretch) == ImageSize{48, 32});
  CHECK(plain_size({480, 640}, ResizeRule::kDetr, 800, 1333, {}) == ImageSize{800, 1066});
}

TEST_CASE("geometry: picture and masks are flipped and cropped alike") {
  Geometry geometry({6, 8});
  geometry.flip().crop(1, 2, {3, 4});
  CHECK(geometry.size() == ImageSize{3, 4});
  CHECK(geometry.crops());
  const Tensor image = geometry.apply_to_image(coordinates_image(6, 8));
  Tensor masks = Tensor::zeros({2, 6, 8}, DType::kU8);
  for (i64 i = 0; i < 48; ++i) masks.data<u8>()[48 + i] = static_cast<u8>(i);
  const Tensor mapped = geometry.apply_to_masks(masks);
  REQUIRE(image.shape() == Shape{3, 4, 3});
  REQUIRE(mapped.shape() == Shape{2, 3, 4});
  for (i64 y = 0; y < 3; ++y) {
    for (i64 x = 0; x < 4; ++x) {
      const i64 source_x = 7 - (x + 2), source_y = y + 1;
      CHECK(image.data<u8>()[(y * 4 + x) * 3] == source_x);
      CHECK(image.data<u8>()[(y * 4 + x) * 3 + 1] == source_y);
      CHECK(mapped.data<u8>()[12 + y * 4 + x] == source_y * 8 + source_x);
    }
  }
}

TEST_CASE("geometry: polygons and boxes go through the steps in order") {
  Geometry geometry({100, 200});
  geometry.flip().resize({50, 400});
  CHECK_FALSE(geometry.crops());
  const std::vector<Polygon> mapped = geometry.apply_to_polygons({{10, 20, 30, 20, 30, 60}});
  REQUIRE(mapped.size() == 1);
  CHECK(mapped[0] == Polygon{380, 10, 340, 10, 340, 30});
  CHECK(geometry.apply_to_box({10, 20, 30, 60}) == Box{340, 10, 380, 30});
  CHECK(geometry.apply_to_box({-5, 20, 30, 600}) == Box{340, 10, 400, 50});  // clipped to the picture
}

TEST_CASE("geometry: a quarter turn takes pictures, masks, polygons and boxes counterclockwise; four are none") {
  // The first pixel of the upper right corner comes to the upper left one.
  Geometry once({6, 8});
  once.turn(1);
  CHECK(once.size() == ImageSize{8, 6});
  const Tensor image = once.apply_to_image(coordinates_image(6, 8));
  for (i64 y = 0; y < 8; ++y)
    for (i64 x = 0; x < 6; ++x) {
      CHECK(image.data<u8>()[(y * 6 + x) * 3] == 7 - y);
      CHECK(image.data<u8>()[(y * 6 + x) * 3 + 1] == x);
    }
  CHECK(once.apply_to_box({6, 1, 8, 2}) == Box{1, 0, 2, 2});
  CHECK(once.apply_to_polygons({{8, 0, 7, 0, 7, 3}})[0] == Polygon{0, 0, 0, 1, 3, 1});
  for (int quarters = 1; quarters <= 3; ++quarters) {
    CAPTURE(quarters);
    Geometry geometry({6, 8});
    geometry.turn(quarters);
    Tensor masks = Tensor::zeros({2, 6, 8}, DType::kU8);
    masks.data<u8>()[48 + 8 + 6] = masks.data<u8>()[48 + 8 + 7] = 1;  // the box above
    const Tensor turned = geometry.apply_to_masks(masks);
    const Box box = geometry.apply_to_box({6, 1, 8, 2});
    const ImageSize size = geometry.size();
    for (i64 y = 0; y < size.height; ++y)
      for (i64 x = 0; x < size.width; ++x) {
        const bool inside = static_cast<double>(x) >= box[0] && static_cast<double>(x) < box[2] &&
                            static_cast<double>(y) >= box[1] && static_cast<double>(y) < box[3];
        CHECK(turned.data<u8>()[48 + y * size.width + x] == inside);
      }
    geometry.turn(4 - quarters);
    CHECK(std::ranges::equal(geometry.apply_to_masks(masks).span<u8>(), masks.span<u8>()));
  }
  CHECK_ERROR(once.turn(4), "4 quarter turns, expected 1 to 3");
}

TEST_CASE("geometry: a crop clips polygons to its window") {
  Geometry geometry({100, 100});
  geometry.crop(20, 10, {40, 50});
  SUBCASE("inside: only moved") {
    CHECK(geometry.apply_to_polygons({{20, 30, 40, 30, 40, 50}})[0] == Polygon{10, 10, 30, 10, 30, 30});
  }
  SUBCASE("outside: dropped") {
    CHECK(geometry.apply_to_polygons({{70, 30, 90, 30, 90, 50}}).empty());
    CHECK(geometry.apply_to_polygons({{60, 30, 90, 30, 90, 50}}).empty());  // touches the window's side only
  }
  SUBCASE("around: becomes the window") {
    const std::vector<Polygon> mapped = geometry.apply_to_polygons({{-50, -50, 300, -50, 300, 300, -50, 300}});
    CHECK(area(mapped) == doctest::Approx(2000));
  }
  SUBCASE("a triangle over a corner keeps the part inside") {
    // Right triangle with legs 20 along the axes, right angle at the window's corner (10, 20), half of it cut off.
    CHECK(area(geometry.apply_to_polygons({{10, 20, 30, 20, 10, 40}})) == doctest::Approx(200));
    CHECK(area(geometry.apply_to_polygons({{0, 10, 20, 10, 20, 30, 0, 30}})) == doctest::Approx(100));
    CHECK(area(geometry.apply_to_polygons({{0, 20, 20, 20, 20, 40}})) == doctest::Approx(150));
  }
}

TEST_CASE("geometry: impossible steps and foreign pictures are errors") {
  Geometry geometry({10, 10});
  CHECK_ERROR(geometry.crop(5, 5, {6, 2}), "does not lie in a picture of 10 x 10");
  CHECK_ERROR(geometry.crop(-1, 0, {2, 2}), "does not lie");
  CHECK_ERROR(geometry.resize({0, 4}), "cannot resize to 0 x 4");
  CHECK_ERROR(geometry.apply_to_image(Tensor::zeros({10, 11, 3}, DType::kU8)), "expected a picture u8 [10, 10, 3]");
  CHECK_ERROR(geometry.apply_to_masks(Tensor::zeros({1, 11, 10}, DType::kU8)), "expected masks u8 [K, 10, 10]");
}

TEST_CASE("augment: the default chain flips half of the pictures and takes every side length") {
  const AugmentConfig config;
  std::map<i64, int> sides;
  int flipped = 0;
  for (u64 index = 0; index < 1600; ++index) {
    Random random(7, stream_of("augment", {0, index}));
    const Geometry geometry = augment_geometry(config, {480, 640}, random);
    CHECK_FALSE(geometry.crops());
    CHECK(geometry.size().width <= 853);
    ++sides[geometry.size().height];
    flipped += geometry.apply_to_box({0, 0, 1, 1})[0] > 1;
  }
  REQUIRE(sides.size() == 8);
  for (const i64 side : config.shortest) CHECK(sides[side] > 140);
  CHECK(flipped > 700);
  CHECK(flipped < 900);
}

TEST_CASE("augment: the crop chain crops about half of the pictures, within absolute_range") {
  AugmentConfig config;
  config.flip_probability = 0;
  config.crop_probability = 0.5;
  int cropped = 0;
  for (u64 index = 0; index < 400; ++index) {
    Random random(7, stream_of("augment", {3, index}));
    const Geometry geometry = augment_geometry(config, {480, 640}, random);
    cropped += geometry.crops();
    CHECK(std::min(geometry.size().height, geometry.size().width) <= 640);
    CHECK(std::max(geometry.size().height, geometry.size().width) <= 853);
    Random again(7, stream_of("augment", {3, index}));
    CHECK(augment_geometry(config, {480, 640}, again).size() == geometry.size());
  }
  CHECK(cropped > 150);
  CHECK(cropped < 250);
}

TEST_CASE("augment: quarter turns come as often as asked for, each as often as the others") {
  AugmentConfig config;
  config.flip_probability = 0;
  config.rotate_90_probability = 0.6;
  std::map<Box, int> corners;  // where the first pixel is
  for (u64 index = 0; index < 1000; ++index) {
    Random random(7, stream_of("augment", {0, index}));
    const Geometry geometry = augment_geometry(config, {400, 640}, random);
    const Box box = geometry.apply_to_box({0, 0, 1, 1});
    ++corners[{box[0] > 1 ? 1.0 : 0.0, box[1] > 1 ? 1.0 : 0.0, 0, 0}];
    CHECK((geometry.size().height > geometry.size().width) == ((box[0] > 1) != (box[1] > 1)));
  }
  REQUIRE(corners.size() == 4);
  for (const auto& [corner, count] : corners) {
    const bool upright = corner[0] == 0 && corner[1] == 0;
    CHECK(std::abs(count - (upright ? 400 : 200)) < 60);
  }
}

TEST_CASE("augment: a tile of a mosaic is covered by its picture, whose other side is cropped") {
  AugmentConfig config;
  for (const ImageSize tile : {ImageSize{30, 100}, {100, 30}, {1, 1}, {80, 120}}) {
    Random random(7, 1);
    const Geometry geometry = tile_geometry(config, {400, 600}, tile, random);
    CHECK(geometry.size() == tile);
    const Box all = geometry.apply_to_box({0, 0, 600, 400});
    CHECK(all == Box{0, 0, static_cast<double>(tile.width), static_cast<double>(tile.height)});
  }
}

TEST_CASE("augment: scale jitter stays within the target and reaches both ends") {
  AugmentConfig config;
  config.scale_jitter = ScaleJitter{0.5, 2.0, {128, 128}};
  i64 smallest = 1000, largest = 0;
  for (u64 index = 0; index < 300; ++index) {
    Random random(1, index);
    const ImageSize size = augment_geometry(config, {100, 80}, random).size();
    CHECK(size.height <= 128);
    CHECK(size.width <= 128);
    smallest = std::min(smallest, size.height);
    largest = std::max(largest, size.height);
  }
  CHECK(smallest < 75);
  CHECK(largest == 128);
}

TEST_CASE("augment: DETR's chain resizes, or resizes, crops and resizes, with PyTorch's nearest for masks") {
  AugmentConfig config;
  config.resize = ResizeRule::kDetr;
  config.shortest = {480, 800};
  config.longest = 1333;
  config.crop_probability = 0.5;
  int cropped = 0, flipped = 0;
  for (u64 index = 0; index < 200; ++index) {
    Random random(7, stream_of("augment", {1, index}));
    const Geometry geometry = augment_geometry(config, {427, 640}, random);
    cropped += geometry.crops();
    if (geometry.crops()) {
      CHECK(std::max(geometry.size().height, geometry.size().width) <= 1333);
      continue;
    }
    flipped += geometry.apply_to_box({0, 0, 1, 1})[0] > 1;
    CHECK((geometry.size() == ImageSize{480, 719} || geometry.size() == ImageSize{800, 1199}));  // 719.4, 1199.06
    Tensor columns = Tensor::empty({1, 427, 640}, DType::kU8);
    for (i64 i = 0; i < columns.numel(); ++i) columns.data<u8>()[i] = static_cast<u8>(i % 640);
    Geometry plain({427, 640});
    if (geometry.apply_to_box({0, 0, 1, 1})[0] > 1) plain.flip();
    plain.resize(geometry.size(), Nearest::kPyTorch);
    CHECK(std::ranges::equal(plain.apply_to_masks(columns).span<u8>(), geometry.apply_to_masks(columns).span<u8>()));
  }
  CHECK(cropped > 75);
  CHECK(cropped < 125);
  CHECK(flipped > 25);
}

TEST_CASE("augment: settings that make no sense are errors naming the field") {
  const auto with = [](auto&& change) {
    AugmentConfig config;
    change(config);
    return config;
  };
  check(AugmentConfig{});
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.flip_probability = 1.5; })),
              "augment: flip_probability must be from 0 to 1, got 1.5");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.crop_probability = -1; })), "crop_probability");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.shortest = {}; })), "need at least one side length");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.crop_shortest = {0}; })), "crop_shortest");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.longest = 0; })), "longest must be at least 1, got 0");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.crop_min = 700; })), "crop_min 700");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.mosaic_probability = 2; })),
              "mosaic_probability must be from 0 to 1");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.colour.hue = 0.6; })), "hue must be from 0 to 0.5");
  CHECK_ERROR(check(with([](AugmentConfig& c) {
                c.scale_jitter = ScaleJitter{2, 1, {8, 8}};
              })),
              "scale_jitter from 2 to 1");
  CHECK_ERROR(check(with([](AugmentConfig& c) { c.scale_jitter = ScaleJitter{1, 2, {0, 8}}; })), "target is 0 x 8");
}

}  // namespace
}  // namespace tessera
