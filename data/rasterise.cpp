#include "data/rasterise.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace tessera {

namespace {

constexpr double kMaxCoordinate = 1 << 20;
constexpr i64 kScale = 5;   // the fine grid: this many lines per pixel
constexpr i64 kCentre = 2;  // fine column kScale * x + kCentre lies on the centre line of pixel column x

struct Point {
  i64 x, y;  // on the fine grid
};

void check_coordinate(double coordinate) {
  TESSERA_CHECK(std::abs(coordinate) <= kMaxCoordinate, "polygon: coordinate {} is out of range (up to {} pixels)",
                coordinate, kMaxCoordinate);
}

i64 to_grid(double coordinate) {
  check_coordinate(coordinate);
  return static_cast<i64>(kScale * coordinate + 0.5);  // truncates toward zero, as the official tool does
}

// Records where edges cross the centre lines of the pixel columns, as positions column * height + row in the run order.
//
// The official tool walks every edge point by point on the fine grid and looks at neighbours whose columns differ. Only
// steps between fine columns c and c + 1 with c on a centre line count, so we go to those directly; the rounding of
// each point is the same.
class Crossings {
 public:
  Crossings(i64 height, i64 width) : height_(height), width_(width) {}

  void add_edge(Point from, Point to) {
    const i64 dx = std::abs(to.x - from.x), dy = std::abs(to.y - from.y);
    if (dx >= dy) {
      if (from.x > to.x) std::swap(from, to);
      add_flat(from, to, dx);
    } else {
      if (from.y > to.y) std::swap(from, to);
      add_steep(from, to, dy);
    }
  }

  // Sorted, with the end of the mask as the last one.
  std::vector<u32> take() {
    positions_.push_back(static_cast<u32>(height_ * width_));
    std::sort(positions_.begin(), positions_.end());
    return std::move(positions_);
  }

 private:
  // At least as wide as high: fine column from.x + t has row trunc(from.y + slope * t + 0.5).
  void add_flat(Point from, Point to, i64 steps) {
    if (steps == 0) return;
    const double slope = static_cast<double>(to.y - from.y) / static_cast<double>(steps);
    auto row = [&](i64 t) { return static_cast<i64>(from.y + slope * t + 0.5); };
    for (i64 x = first_column(from.x); x < end_column(to.x); ++x) {
      const i64 t = kScale * x + kCentre - from.x;
      record(x, std::min(row(t), row(t + 1)));
    }
  }

  // Higher than wide: fine row from.y + t has column trunc(from.x + slope * t + 0.5), which never skips one.
  void add_steep(Point from, Point to, i64 steps) {
    const double slope = static_cast<double>(to.x - from.x) / static_cast<double>(steps);
    auto column = [&](i64 t) { return static_cast<i64>(from.x + slope * t + 0.5); };
    const bool rising = to.x > from.x;
    const i64 first = column(0), last = column(steps);
    for (i64 x = first_column(std::min(first, last)); x < end_column(std::max(first, last)); ++x) {
      const i64 c = kScale * x + kCentre;
      auto crossed = [&](i64 t) { return rising ? column(t) > c : column(t) <= c; };
      // The first point beyond the centre line: estimated, then corrected by the rounding that counts.
      i64 t = std::clamp<i64>(static_cast<i64>((c + 0.5 - from.x) / slope), 1, steps);
      while (t > 1 && crossed(t - 1)) --t;
      while (!crossed(t)) ++t;
      record(x, from.y + t - 1);
    }
  }

  // Pixel columns whose step from c to c + 1 lies in [low, high] on the fine grid: first_column(low) <= x <
  // end_column(high).
  i64 first_column(i64 low) const { return low <= kCentre ? 0 : (low - kCentre + kScale - 1) / kScale; }
  i64 end_column(i64 high) const {
    return high <= kCentre ? 0 : std::min(width_, (high - kCentre + kScale - 1) / kScale);
  }

  void record(i64 x, i64 fine_row) {
    const i64 y = fine_row <= kCentre ? 0 : std::min(height_, (fine_row - kCentre + kScale - 1) / kScale);
    positions_.push_back(static_cast<u32>(x * height_ + y));
  }

  i64 height_, width_;
  std::vector<u32> positions_;
};

}  // namespace

Rle rasterise_polygon(std::span<const double> xy, i64 height, i64 width) {
  check_mask_size(height, width);
  Crossings crossings(height, width);
  std::vector<Point> points(xy.size() / 2);
  for (size_t i = 0; i < points.size(); ++i) points[i] = {to_grid(xy[2 * i]), to_grid(xy[2 * i + 1])};
  for (size_t i = 0; i < points.size(); ++i) crossings.add_edge(points[i], points[(i + 1) % points.size()]);

  // Each position toggles inside and outside. Equal positions cancel: the run between them vanishes and its neighbours
  // become one.
  const std::vector<u32> positions = crossings.take();
  Rle rle{height, width, {positions[0]}};
  for (size_t i = 1; i < positions.size(); ++i) {
    const u32 run = positions[i] - positions[i - 1];
    if (run > 0) {
      rle.counts.push_back(run);
    } else if (++i < positions.size()) {
      rle.counts.back() += positions[i] - positions[i - 1];
    }
  }
  return rle;
}

void check_polygons(std::span<const std::vector<double>> parts) {
  TESSERA_CHECK(!parts.empty(), "polygon: the list of parts is empty");
  TESSERA_CHECK(parts[0].size() > 4, "polygon: the first part has {} numbers{}, at least three points (6) are needed",
                parts[0].size(), parts[0].size() == 4 ? ", as a box has" : "");
  for (const std::vector<double>& part : parts)
    for (const double coordinate : part) check_coordinate(coordinate);
}

Rle rasterise_polygons(std::span<const std::vector<double>> parts, i64 height, i64 width) {
  check_polygons(parts);
  std::vector<Rle> masks;
  masks.reserve(parts.size());
  for (const std::vector<double>& part : parts) masks.push_back(rasterise_polygon(part, height, width));
  return rle_merge(masks);
}

Rle rasterise_box(const XywhBox& box, i64 height, i64 width) {
  const auto [x, y, w, h] = box;
  const double corners[] = {x, y, x, y + h, x + w, y + h, x + w, y};
  return rasterise_polygon(corners, height, width);
}

}  // namespace tessera
