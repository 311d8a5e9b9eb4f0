#include "data/boundary.h"

#include <algorithm>
#include <cmath>

namespace tessera {

namespace {

// Pixels [begin, end) of a mask, counted down the columns.
struct Interval {
  i64 begin, end;
};

// Both lists ascending, no two intervals of a list touching; b is moved by `shift` pixels.
std::vector<Interval> intersect(const std::vector<Interval>& a, const std::vector<Interval>& b, i64 shift) {
  std::vector<Interval> common;
  common.reserve(std::min(a.size(), b.size()));
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const i64 end_a = a[i].end, end_b = b[j].end + shift;
    const i64 begin = std::max(a[i].begin, b[j].begin + shift), end = std::min(end_a, end_b);
    if (begin < end) common.push_back({begin, end});
    i += end_a == end;
    j += end_b == end;
  }
  return common;
}

// Runs that touch, as only runs that are not canonical do, become one.
std::vector<Interval> foreground_of(const Rle& mask) {
  std::vector<Interval> foreground;
  foreground.reserve(mask.counts.size() / 2);
  i64 pixel = 0;
  for (size_t i = 0; i < mask.counts.size(); ++i) {
    const i64 begin = pixel;
    pixel += mask.counts[i];
    if (i % 2 == 0 || begin == pixel) continue;
    if (!foreground.empty() && foreground.back().end == begin)
      foreground.back().end = pixel;
    else
      foreground.push_back({begin, pixel});
  }
  return foreground;
}

// Erosion by the square is erosion along the columns, which cuts `distance` off both ends of every run, and then along
// the rows, which is the intersection of 2 * distance + 1 neighbouring columns. One column is `height` pixels, so to
// intersect each column with its s-th neighbour is to intersect the whole list with itself moved by s * height.
std::vector<Interval> interior_of(const std::vector<Interval>& foreground, i64 height, i64 distance) {
  std::vector<Interval> interior;
  interior.reserve(foreground.size());
  for (const Interval& run : foreground) {
    i64 column_end = (run.begin / height + 1) * height;
    for (i64 begin = run.begin; begin < run.end; begin = column_end, column_end += height) {
      const Interval part{begin + distance, std::min(run.end, column_end) - distance};
      if (part.begin < part.end) interior.push_back(part);
    }
  }
  const i64 wanted = 2 * distance + 1;
  for (i64 columns = 1; columns < wanted && !interior.empty();) {  // each stands for itself and its right neighbours
    const i64 step = std::min(columns, wanted - columns);
    interior = intersect(interior, interior, -step * height);
    columns += step;
  }
  for (Interval& part : interior) part = {part.begin + distance * height, part.end + distance * height};
  return interior;
}

}  // namespace

i64 boundary_distance(i64 height, i64 width, double ratio) {
  check_mask_size(height, width);
  TESSERA_CHECK(ratio >= 0 && ratio <= 1, "boundary: the ratio must be 0 to 1 of the image's diagonal, got {}", ratio);
  const double diagonal = std::sqrt(static_cast<double>(height * height + width * width));
  return std::max<i64>(1, static_cast<i64>(std::nearbyint(ratio * diagonal)));
}

Rle boundary_of(const Rle& mask, i64 distance) {
  check_rle(mask);
  TESSERA_CHECK(distance >= 1, "boundary: a distance of {} pixels is not possible, it is at least 1", distance);
  const std::vector<Interval> foreground = foreground_of(mask);
  const std::vector<Interval> interior = interior_of(foreground, mask.height, distance);
  Rle boundary{mask.height, mask.width, {}};
  boundary.counts.reserve(2 * (foreground.size() + interior.size()) + 1);
  i64 written = 0;  // pixels in the runs so far
  const auto append = [&](i64 begin, i64 end) {
    boundary.counts.push_back(static_cast<u32>(begin - written));
    boundary.counts.push_back(static_cast<u32>(end - begin));
    written = end;
  };
  size_t next = 0;
  for (Interval run : foreground) {
    for (; next < interior.size() && interior[next].begin < run.end;
         ++next) {  // lies within the run, clear of its ends
      append(run.begin, interior[next].begin);
      run.begin = interior[next].end;
    }
    append(run.begin, run.end);
  }
  const i64 pixels = mask.height * mask.width;
  if (written < pixels) boundary.counts.push_back(static_cast<u32>(pixels - written));
  return boundary;
}

}  // namespace tessera
