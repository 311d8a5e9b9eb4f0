// One axis of RoIAlign; ops/roi_align.h states the formula. f64: f32 would lose the fraction of a point in a large map.
#pragma once

#include <cmath>

#include "ops/roi_align.h"
#include "ops/scalar/numbers.h"

namespace tessera::scalar {
namespace {

// The points of one bin in an interval: first, first + 1, ...
struct RoiPoints {
  double first;
  i64 count;
};

// The two pixels that a point on the map is blended from, low and low + 1; of the second none is read where fraction is
// 0.
struct RoiPixels {
  i64 low;
  double fraction;
};

// One axis of a roi on a map of `size` pixels.
struct RoiAxis {
  double begin, bin, points, step;
  i64 bins, size;

  // from, to: the roi's coordinates.
  template <class T>
  TESSERA_HD static RoiAxis of(const ops::RoiAlignParams& p, T from, T to, i64 bins, i64 size) {
    const double shift = p.aligned ? 0.5 : 0.0;
    const double begin = static_cast<double>(from) * p.spatial_scale - shift;
    const double end = static_cast<double>(to) * p.spatial_scale - shift;
    const double length = p.aligned ? end - begin : larger(end - begin, 1.0), bin = length / static_cast<double>(bins);
    const double points = p.sampling_ratio > 0 ? static_cast<double>(p.sampling_ratio) : larger(std::ceil(bin), 0.0);
    return {begin, bin, points, points > 0 ? bin / points : 0, bins, size};
  }

  TESSERA_HD double start(i64 i) const { return begin + static_cast<double>(i) * bin; }
  TESSERA_HD double place(i64 i, double point) const { return start(i) + (point + 0.5) * step; }
  TESSERA_HD bool on_map(double place) const { return place >= -1 && place <= static_cast<double>(size); }

  // The points of bin i that lie in [low, high], and perhaps one more on either side. At most (high - low) / |step| +
  // 5: this bounds the work of a huge roi.
  TESSERA_HD RoiPoints between(i64 i, double low, double high) const {
    if (step == 0) return {0, static_cast<i64>(points)};
    const double a = (low - start(i)) / step - 0.5, b = (high - start(i)) / step - 0.5;
    const double first = larger(std::floor(smaller(a, b)), 0.0), last = smaller(std::ceil(larger(a, b)), points - 1);
    const double most = (high - low) / std::fabs(step) + 4;  // however far off and inexact start is
    return {first, last >= first ? static_cast<i64>(smaller(last - first, most)) + 1 : 0};
  }

  TESSERA_HD double on_pixels(double place) const { return clamped(place, 0.0, static_cast<double>(size - 1)); }
  TESSERA_HD RoiPixels pixels(double place) const {
    const double v = on_pixels(place);
    const i64 low = static_cast<i64>(v);
    return {low, v - static_cast<double>(low)};
  }
};

}  // namespace
}  // namespace tessera::scalar
