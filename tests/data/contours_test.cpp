#include "data/contours.h"

#include <doctest/doctest.h>

#include "data/rasterise.h"
#include "tensor/random.h"

namespace tessera {
namespace {

// '#' is the mask.
Rle drawn(const std::vector<std::string>& rows) {
  Tensor mask = Tensor::zeros({std::ssize(rows), std::ssize(rows[0])}, DType::kU8);
  for (i64 y = 0; y < mask.dim(0); ++y)
    for (i64 x = 0; x < mask.dim(1); ++x) mask.data<u8>()[y * mask.dim(1) + x] = rows[y][x] == '#';
  return encode_rle(mask);
}

TEST_CASE("contours: an outline has a vertex at each corner of the mask alone") {
  CHECK(trace_mask(drawn({"....", ".##.", ".##."})) == Polygons{{1, 1, 3, 1, 3, 3, 1, 3}});
  CHECK(trace_mask(drawn({"##", "#."})) == Polygons{{0, 0, 2, 0, 2, 1, 1, 1, 1, 2, 0, 2}});
  CHECK(trace_mask(drawn({"...", "..."})).empty());
}

TEST_CASE("contours: pixels that touch at a corner are two parts, a hole belongs to its part") {
  CHECK(trace_mask(drawn({"#.", ".#"})) == Polygons{{0, 0, 1, 0, 1, 1, 0, 1}, {1, 1, 2, 1, 2, 2, 1, 2}});
  const Polygons ring = trace_mask(drawn({"###..", "#.#.#", "###.."}));
  REQUIRE(ring.size() == 2);
  CHECK(ring[0].size() == 2 * (4 + 4 + 2));  // outline, hole, and the seam's ends once more
  CHECK(ring[1].size() == 8);
}

TEST_CASE("contours: the outlines draw the mask again, exactly, in parts and as one polygon") {
  Random random(1, 2);
  for (int round = 0; round < 200; ++round) {
    const i64 height = random.integer(1, 24), width = random.integer(1, 24);
    const double density = random.uniform();
    Tensor mask = Tensor::empty({height, width}, DType::kU8);
    for (u8& value : mask.span<u8>()) value = random.chance(density);
    const Rle rle = encode_rle(mask);
    const Polygons outlines = trace_mask(rle);
    if (outlines.empty()) continue;
    CHECK(rasterise_polygons(outlines, height, width) == rle);
    CHECK(rasterise_polygon(joined_polygon(outlines), height, width) == rle);
  }
}

TEST_CASE("contours: of the outlines a hole is one of its own, and by the even-odd rule they are the mask") {
  CHECK(mask_outlines(drawn({"###", "#.#", "###"})) == Polygons{{0, 0, 3, 0, 3, 3, 0, 3}, {1, 2, 2, 2, 2, 1, 1, 1}});
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const i64 height = random.integer(1, 12), width = random.integer(1, 12);
    Tensor mask = Tensor::zeros({height, width}, DType::kU8), filled = mask.clone();
    for (u8& pixel : mask.span<u8>()) pixel = random.chance(0.5);
    for (const std::vector<double>& outline : mask_outlines(encode_rle(mask)))
      for (size_t i = 0; i < outline.size(); i += 2) {
        const size_t next = (i + 2) % outline.size();
        if (outline[i] != outline[next]) continue;  // each vertical edge turns what is at its right
        const double low = std::min(outline[i + 1], outline[next + 1]),
                     high = std::max(outline[i + 1], outline[next + 1]);
        for (i64 y = static_cast<i64>(low); y < static_cast<i64>(high); ++y)
          for (i64 x = static_cast<i64>(outline[i]); x < width; ++x) filled.data<u8>()[y * width + x] ^= 1;
      }
    CHECK(encode_rle(filled) == encode_rle(mask));
  }
}

TEST_CASE("contours: polygons with coordinates between the pixels are joined without a trace of the seams") {
  const Polygons parts = {
      {1.3, 1.7, 9.9, 2.2, 5.1, 8.8}, {12.6, 3.3, 18.2, 4.4, 15.5, 15.5}, {2.5, 12.1, 8.2, 19, 3, 18}};
  CHECK(rasterise_polygon(joined_polygon(parts), 20, 20) == rasterise_polygons(parts, 20, 20));
}

}  // namespace
}  // namespace tessera
