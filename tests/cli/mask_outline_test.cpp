#include "cli/mask_outline.h"

#include <doctest/doctest.h>

#include "tensor/random.h"

namespace tessera {
namespace {

using Polygons = std::vector<std::vector<std::array<i64, 2>>>;

Rle mask_of(const std::vector<std::string>& rows) {
  Tensor mask = Tensor::zeros({std::ssize(rows), std::ssize(rows[0])}, DType::kU8);
  for (size_t y = 0; y < rows.size(); ++y)
    for (size_t x = 0; x < rows[y].size(); ++x) mask.data<u8>()[y * rows[y].size() + x] = rows[y][x] == '#';
  return encode_rle(mask);
}

// Pixels whose centre has an odd number of edges to its left.
Tensor filled(const Polygons& polygons, i64 height, i64 width) {
  Tensor mask = Tensor::zeros({height, width}, DType::kU8);
  for (const auto& polygon : polygons)
    for (size_t i = 0; i < polygon.size(); ++i) {
      const auto [x0, y0] = polygon[i];
      const auto [x1, y1] = polygon[(i + 1) % polygon.size()];
      REQUIRE((x0 == x1) != (y0 == y1));
      for (i64 y = std::min(y0, y1); x0 == x1 && y < std::max(y0, y1); ++y)
        for (i64 x = x0; x < width; ++x) mask.data<u8>()[y * width + x] ^= 1;
    }
  return mask;
}

TEST_CASE("mask outline: corners of rectangles and holes, and pixels that touch at a corner are apart") {
  CHECK(mask_outline(mask_of({"...", "..."})).empty());
  CHECK(mask_outline(mask_of({".##", ".##"})) == Polygons{{{1, 0}, {3, 0}, {3, 2}, {1, 2}}});
  CHECK(mask_outline(mask_of({"###", "#.#", "###"})) ==
        Polygons{{{0, 0}, {3, 0}, {3, 3}, {0, 3}}, {{1, 1}, {1, 2}, {2, 2}, {2, 1}}});
  CHECK(mask_outline(mask_of({"#.", ".#"})).size() == 2);
  CHECK(mask_outline(mask_of({".#", "#."})).size() == 2);
}

TEST_CASE("mask outline: filled it is the mask, whatever the mask is") {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const i64 height = random.integer(1, 12), width = random.integer(1, 12);
    Tensor mask = Tensor::zeros({height, width}, DType::kU8);
    for (u8& pixel : mask.span<u8>()) pixel = random.chance(0.5);
    const Rle rle = encode_rle(mask);
    CHECK(encode_rle(filled(mask_outline(rle), height, width)) == rle);
  }
}

}  // namespace
}  // namespace tessera
