#include "data/boundary.h"

#include <doctest/doctest.h>

#include <limits>

#include "tensor/random.h"
#include "tests/data/mask_cases.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"

namespace tessera {
namespace {

// As the definition says it, pixel by pixel.
Rle naive_boundary(const Rle& rle, i64 distance) {
  const Tensor mask = decode_rle(rle);
  Tensor boundary = mask.clone();
  const auto inside = [&](i64 y, i64 x) {
    return y >= 0 && x >= 0 && y < rle.height && x < rle.width && mask.data<u8>()[y * rle.width + x] != 0;
  };
  for (i64 y = 0; y < rle.height; ++y) {
    for (i64 x = 0; x < rle.width; ++x) {
      bool interior = true;
      for (i64 dy = -distance; dy <= distance; ++dy)
        for (i64 dx = -distance; dx <= distance; ++dx) interior = interior && inside(y + dy, x + dx);
      if (interior) boundary.data<u8>()[y * rle.width + x] = 0;
    }
  }
  return encode_rle(boundary);
}

TEST_CASE("boundary: its thickness is a share of the diagonal, halves to even, at least one pixel") {
  CHECK(boundary_distance(480, 640, 0.02) == 16);
  CHECK(boundary_distance(427, 640, 0.02) == 15);
  CHECK(boundary_distance(1024, 2048, 0.02) == 46);
  CHECK(boundary_distance(20, 24, 0.02) == 1);
  CHECK(boundary_distance(30, 40, 0.05) == 2);  // 2.5
  CHECK(boundary_distance(30, 40, 0.07) == 4);  // 3.5
  CHECK(boundary_distance(1, 1, 0) == 1);
  CHECK_ERROR(boundary_distance(480, 640, -0.1), "got -0.1");
  CHECK_ERROR(boundary_distance(480, 640, std::numeric_limits<double>::quiet_NaN()), "got nan");
  CHECK_ERROR(boundary_distance(0, 640, 0.02), "0 x 640");
}

TEST_CASE("boundary: a square loses its inside, and the image's border is boundary") {
  const Rle square = rasterise_box({2, 2, 5, 5}, 10, 10);
  Tensor ring = decode_rle(square);
  for (i64 y = 3; y < 6; ++y)
    for (i64 x = 3; x < 6; ++x) ring.data<u8>()[y * 10 + x] = 0;
  CHECK(boundary_of(square, 1) == encode_rle(ring));
  CHECK(boundary_of(square, 3) == square);
  const Rle full{4, 5, {0, 20}};
  CHECK(boundary_of(full, 1) == Rle{4, 5, {0, 5, 2, 2, 2, 2, 2, 5}});
  CHECK(boundary_of(full, 2) == full);
  CHECK(boundary_of(Rle{4, 5, {20}}, 1) == Rle{4, 5, {20}});
}

TEST_CASE("boundary: masks of every shape equal the Boundary IoU package's") {
  const auto expected = nlohmann::json::parse(std::ifstream(test::source_dir() / "tests/data/boundary_cases.json"));
  int compared = 0;
  for (const nlohmann::json& item : test::mask_cases()["cases"]) {
    const std::string name = item["name"];
    if (!expected.contains(name)) continue;
    INFO(name);
    const Rle mask = test::mask_of(item);
    for (const auto& [ratio, counts] : expected[name].items()) {
      const Rle boundary = boundary_of(mask, boundary_distance(mask.height, mask.width, std::stod(ratio)));
      CHECK(rle_to_string(boundary) == counts.get<std::string>());
      ++compared;
    }
  }
  CHECK(compared > 100);
}

TEST_CASE("boundary: random masks equal erosion pixel by pixel") {
  Random random(7, 0);
  for (int trial = 0; trial < 60; ++trial) {
    const i64 height = random.integer(1, 24), width = random.integer(1, 24), distance = random.integer(1, 5);
    // Long runs, so that there is an interior; empty ones among them, as in no canonical list.
    Rle mask{height, width, {}};
    for (i64 left = height * width; left > 0;) {
      const bool foreground = mask.counts.size() % 2 == 1;
      const i64 run = std::min<i64>(left, random.integer(0, foreground ? 4 * height : 5));
      mask.counts.push_back(static_cast<u32>(run));
      left -= run;
    }
    INFO("trial ", trial, ": ", height, " x ", width, ", distance ", distance);
    CHECK(boundary_of(mask, distance) == naive_boundary(mask, distance));
  }
}

TEST_CASE("boundary: an impossible distance or mask is an error") {
  CHECK_ERROR(boundary_of(Rle{2, 3, {6}}, 0), "a distance of 0 pixels");
  CHECK_ERROR(boundary_of(Rle{2, 3, {7}}, 1), "add up to 7");
  CHECK(boundary_of(Rle{2, 3, {1, 5}}, i64{1} << 40) == Rle{2, 3, {1, 5}});
}

}  // namespace
}  // namespace tessera
