// One axis of a box on a picture; ops/paste_masks.h states the formula. f64: whether a pixel is predicted must not
// depend on the device more than rounding makes it.
#pragma once

#include <cmath>

#include "ops/scalar/numbers.h"
#include "tensor/dtype.h"

namespace tessera::scalar {
namespace {

// The two cells that a pixel blends, cell - 1 and cell; those outside the mask are 0.
template <class T>
struct PasteCells {
  i64 cell;
  T fraction;

  TESSERA_HD T upper_weight() const { return cell >= 1 ? 1 - fraction : T(0); }
  TESSERA_HD T lower_weight(i64 cells) const { return cell < cells ? fraction : T(0); }
  // Where they are read; what is read for one outside weighs 0.
  TESSERA_HD i64 upper() const { return larger<i64>(cell - 1, 0); }
  TESSERA_HD i64 lower(i64 cells) const { return smaller(cell, cells - 1); }
};

// Pixels [begin, end) see the mask.
struct PasteAxis {
  double low, size, cells;
  i64 begin = 0, end = 0;

  TESSERA_HD PasteAxis(double from, double to, i64 pixels, i64 cells_)
      : low(from), size(to - from), cells(static_cast<double>(cells_)) {
    const double last = static_cast<double>(pixels);
    if (!std::isfinite(size) || !std::isfinite(low) || size == 0) return;
    // p is 0 beyond half a cell outside the box; one pixel more on either side is looked at.
    const double fade = 0.5 * std::fabs(size) / cells;
    begin = static_cast<i64>(clamped(std::floor(smaller(from, to) - fade) - 1, 0.0, last));
    end = static_cast<i64>(clamped(std::ceil(larger(from, to) + fade) + 1, 0.0, last));
    while (begin < end && !sees(begin)) ++begin;
    while (begin < end && !sees(end - 1)) --end;
  }

  TESSERA_HD double position(i64 pixel) const { return (static_cast<double>(pixel) + 0.5 - low) / size * cells - 0.5; }
  TESSERA_HD bool sees(i64 pixel) const {
    const double at = position(pixel);
    return at >= -1 && at < cells;
  }
  template <class T>
  TESSERA_HD PasteCells<T> cells_of(i64 pixel) const {
    const double at = position(pixel), above = std::floor(at);
    return {static_cast<i64>(above) + 1, static_cast<T>(at - above)};
  }
};

}  // namespace
}  // namespace tessera::scalar
