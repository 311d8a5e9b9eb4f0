// A bilinear sample of a map: the cell between four pixels that it lies in, and what follows from that. Corners in
// order: top left, top right, bottom left, bottom right; those outside the map are 0.
#pragma once

#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

template <class T, class Int>
struct BilinearSample {
  Int top = -2, left = -2;  // the pixel top left of it, from -1 on; -2: it sees no pixel
  T down = 0, right = 0;    // how far below and right of that, in [0, 1)

  TESSERA_HD bool any() const { return top > -2; }
  TESSERA_HD bool inside(int k, Int H, Int W) const {
    const Int v = top + k / 2, u = left + k % 2;
    return (v >= 0) & (v < H) & (u >= 0) & (u < W);
  }
  TESSERA_HD T weight(int k) const { return (k / 2 ? down : 1 - down) * (k % 2 ? right : 1 - right); }

  // Of the corners' values, or their products with a gradient: the sample's, and its derivatives by row and by column.
  TESSERA_HD T blend(const T values[4]) const {
    return weight(0) * values[0] + weight(1) * values[1] + weight(2) * values[2] + weight(3) * values[3];
  }
  TESSERA_HD T slope_down(const T values[4]) const {
    return (1 - right) * (values[2] - values[0]) + right * (values[3] - values[1]);
  }
  TESSERA_HD T slope_right(const T values[4]) const {
    return (1 - down) * (values[1] - values[0]) + down * (values[3] - values[2]);
  }
};

// At pixel coordinates (h, w); it sees no pixel where [-1, H) x [-1, W) is left, or at a NaN. Without a call and
// without a branch: loops over samples become vectors.
template <class T, class Int, class Coordinate, class Size>
TESSERA_HD inline BilinearSample<T, Int> bilinear_sample(Coordinate h, Coordinate w, Size H, Size W) {
  const bool near = (h >= -1) & (h < static_cast<Coordinate>(H)) & (w >= -1) & (w < static_cast<Coordinate>(W));
  h = near ? h : Coordinate(-2);
  w = near ? w : Coordinate(-2);
  const Int row = static_cast<Int>(h), column = static_cast<Int>(w);  // towards 0
  const Int top = row - (h < static_cast<Coordinate>(row)), left = column - (w < static_cast<Coordinate>(column));
  return {top, left, static_cast<T>(h - static_cast<Coordinate>(top)),
          static_cast<T>(w - static_cast<Coordinate>(left))};
}

}  // namespace
}  // namespace tessera::scalar
