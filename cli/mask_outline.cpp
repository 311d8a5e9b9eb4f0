#include "cli/mask_outline.h"

#include <bit>

namespace tessera {

namespace {

constexpr std::array<std::array<i64, 2>, 4> kSteps = {{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}};  // right, down, left, up

// Bit d of the corner (x, y), at y * (W + 1) + x: an edge begins there in direction d, with a pixel of the mask on its
// right.
std::vector<u8> edges_of(const Tensor& mask) {
  const i64 height = mask.dim(0), width = mask.dim(1), row = width + 1;
  const u8* pixels = mask.data<u8>();
  std::vector<u8> edges(static_cast<size_t>((height + 1) * row));
  const auto set = [&](i64 y, i64 x) {
    return y >= 0 && x >= 0 && y < height && x < width && pixels[y * width + x] != 0;
  };
  for (i64 y = 0; y < height; ++y)
    for (i64 x = 0; x < width; ++x) {
      if (!set(y, x)) continue;
      if (!set(y - 1, x)) edges[y * row + x] |= 1;
      if (!set(y, x + 1)) edges[y * row + x + 1] |= 2;
      if (!set(y + 1, x)) edges[(y + 1) * row + x + 1] |= 4;
      if (!set(y, x - 1)) edges[(y + 1) * row + x] |= 8;
    }
  return edges;
}

}  // namespace

std::vector<std::vector<std::array<i64, 2>>> mask_outline(const Rle& mask) {
  std::vector<std::vector<std::array<i64, 2>>> polygons;
  if (rle_area(mask) == 0) return polygons;
  std::vector<u8> edges = edges_of(decode_rle(mask));
  const i64 row = mask.width + 1;
  for (i64 first = 0; first < std::ssize(edges); ++first)
    while (edges[first] != 0) {
      std::vector<std::array<i64, 2>>& polygon = polygons.emplace_back();
      i64 x = first % row, y = first / row;
      int direction = std::countr_zero(edges[first]), before = -1;
      while (edges[y * row + x] >> direction & 1) {
        if (direction != before) polygon.push_back({x, y});
        edges[y * row + x] &= ~(1 << direction);
        x += kSteps[direction][0], y += kSteps[direction][1];
        before = direction;
        for (const int turn : {1, 0, 3})  // to the right first: around the one pixel
          if (edges[y * row + x] >> ((before + turn) % 4) & 1) {
            direction = (before + turn) % 4;
            break;
          }
      }
    }
  return polygons;
}

}  // namespace tessera
