#include "data/contours.h"

#include <algorithm>
#include <limits>

namespace tessera {

namespace {

// Appends `ring` to `polygon` by a seam from the vertex that is nearest to the ring's first.
void append_ring(std::vector<double>& polygon, const std::vector<double>& ring) {
  if (polygon.empty()) {
    polygon = ring;
    return;
  }
  size_t nearest = 0;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i + 1 < polygon.size(); i += 2) {
    const double dx = polygon[i] - ring[0], dy = polygon[i + 1] - ring[1];
    if (const double distance = dx * dx + dy * dy; distance < least) least = distance, nearest = i;
  }
  std::vector<double> detour = ring;  // and back to its first vertex, and to the one before
  detour.insert(detour.end(), {ring[0], ring[1], polygon[nearest], polygon[nearest + 1]});
  polygon.insert(polygon.begin() + static_cast<std::ptrdiff_t>(nearest) + 2, detour.begin(), detour.end());
}

class Tracer {
 public:
  explicit Tracer(const Rle& rle)
      : height_(rle.height),
        width_(rle.width),
        mask_(decode_rle(rle)),
        parts_(static_cast<size_t>(height_ * width_)),
        walked_(static_cast<size_t>(height_ * width_)) {}

  // take(number of the part, ring): row by row, the first edge of a part that is met is one of its outline, all others
  // are of holes.
  template <class Take>
  void trace(const Take& take) {
    i32 parts = 0;
    for (i64 y = 0; y < height_; ++y)
      for (i64 x = 0; x < width_; ++x) {
        if (!inside(y, x) || inside(y - 1, x) || walked_[at(y, x)]) continue;
        if (parts_[at(y, x)] == 0) fill_part(y, x, ++parts);
        take(static_cast<size_t>(parts_[at(y, x)]) - 1, ring_from(y, x));
      }
  }

 private:
  size_t at(i64 y, i64 x) const { return static_cast<size_t>(y * width_ + x); }
  bool inside(i64 y, i64 x) const {
    return y >= 0 && y < height_ && x >= 0 && x < width_ && mask_.data<u8>()[y * width_ + x] != 0;
  }

  void fill_part(i64 y, i64 x, i32 part) {
    std::vector<std::pair<i64, i64>> open = {{y, x}};
    parts_[at(y, x)] = part;
    while (!open.empty()) {
      const auto [py, px] = open.back();
      open.pop_back();
      for (const auto& [qy, qx] : {std::pair(py - 1, px), {py + 1, px}, {py, px - 1}, {py, px + 1}}) {
        if (!inside(qy, qx) || parts_[at(qy, qx)] != 0) continue;
        parts_[at(qy, qx)] = part;
        open.emplace_back(qy, qx);
      }
    }
  }

  // Along edges from the upper left corner of a pixel, to the right at first and with the mask always at the right. At
  // a corner where two pixels of the mask meet diagonally the way stays with the one that it came along.
  std::vector<double> ring_from(i64 y, i64 x) {
    constexpr i64 kStepX[] = {1, 0, -1, 0}, kStepY[] = {0, 1, 0, -1};      // right, down, left, up
    constexpr i64 kRightX[] = {0, -1, -1, 0}, kRightY[] = {0, 0, -1, -1};  // the pixel ahead, at the right
    constexpr i64 kLeftX[] = {0, 0, -1, -1}, kLeftY[] = {-1, 0, 0, -1};    // and at the left
    const i64 first_y = y, first_x = x;
    std::vector<double> ring = {static_cast<double>(x), static_cast<double>(y)};
    int way = 0;
    while (true) {
      if (way == 0) walked_[at(y, x)] = true;
      x += kStepX[way], y += kStepY[way];
      const bool right = inside(y + kRightY[way], x + kRightX[way]), left = inside(y + kLeftY[way], x + kLeftX[way]);
      const int next = !right ? (way + 1) % 4 : left ? (way + 3) % 4 : way;
      if (y == first_y && x == first_x && next == 0) return ring;
      if (next != way) ring.insert(ring.end(), {static_cast<double>(x), static_cast<double>(y)});
      way = next;
    }
  }

  i64 height_, width_;
  Tensor mask_;
  std::vector<i32> parts_;    // of each pixel the number of its part, 0: not met
  std::vector<bool> walked_;  // has the pixel's upper edge been walked along?
};

}  // namespace

Polygons mask_outlines(const Rle& mask) {
  Polygons outlines;
  Tracer(mask).trace([&](size_t, std::vector<double> ring) { outlines.push_back(std::move(ring)); });
  return outlines;
}

Polygons trace_mask(const Rle& mask) {
  Polygons polygons;
  Tracer(mask).trace([&](size_t part, const std::vector<double>& ring) {
    if (part == polygons.size()) polygons.emplace_back();
    append_ring(polygons[part], ring);
  });
  return polygons;
}

std::vector<double> joined_polygon(const Polygons& parts) {
  std::vector<double> joined;
  for (const std::vector<double>& part : parts)
    if (part.size() >= 6) append_ring(joined, part);
  return joined;
}

}  // namespace tessera
