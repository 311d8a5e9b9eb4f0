// One bilinear sample (ops/scalar/bilinear.h) of an NHWC map: where its four corners lie.
#pragma once

#include <array>

#include "ops/cpu/simd/bilinear.h"
#include "ops/scalar/bilinear.h"
#include "tensor/dtype.h"

namespace tessera::cpu {
namespace {

struct MapSize {
  i64 H, W, C;
};

template <class T>
struct BilinearSample : scalar::BilinearSample<T, i32> {
  i64 top_left = 0;  // the element where the pixel top left begins, or would begin

  std::array<T, 4> weights(T factor = 1) const {
    return {this->weight(0) * factor, this->weight(1) * factor, this->weight(2) * factor, this->weight(3) * factor};
  }

  // Channel c of corner k of `map`, which has these sizes; `outside` where it lies outside.
  template <class Element>
  Element* corner(Element* map, const MapSize& size, int k, i64 c, Element* outside) const {
    if (!this->inside(k, static_cast<i32>(size.H), static_cast<i32>(size.W))) return outside;
    return map + top_left + (k / 2 * size.W + k % 2) * size.C + c;
  }
  template <class Element>
  std::array<Element*, 4> corners(Element* map, const MapSize& size, i64 c, Element* outside) const {
    return {corner(map, size, 0, c, outside), corner(map, size, 1, c, outside), corner(map, size, 2, c, outside),
            corner(map, size, 3, c, outside)};
  }
};

// At pixel coordinates (h, w) of an image.
template <class T, class Coordinate>
BilinearSample<T> bilinear_sample(i64 image, Coordinate h, Coordinate w, const MapSize& size) {
  BilinearSample<T> sample{scalar::bilinear_sample<T, i32>(h, w, size.H, size.W)};
  sample.top_left = ((image * size.H + sample.top) * size.W + sample.left) * size.C;
  return sample;
}

}  // namespace
}  // namespace tessera::cpu
