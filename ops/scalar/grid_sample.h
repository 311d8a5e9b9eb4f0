// Which pixel a coordinate of a point is; ops/grid_sample.h states the formulas. f64: a point in a large map keeps its
// fraction.
#pragma once

#include "ops/scalar/host_device.h"
#include "tensor/dtype.h"

namespace tessera::scalar {
namespace {

struct GridAxis {
  double scale, shift;

  static GridAxis of_grid(i64 size, bool align_corners) {
    const double n = static_cast<double>(size);
    return {(align_corners ? n - 1 : n) / 2, (n - 1) / 2};
  }
  static GridAxis of_points(i64 size) { return {static_cast<double>(size), -0.5}; }

  template <class T>
  TESSERA_HD double operator()(T coordinate) const {
    return static_cast<double>(coordinate) * scale + shift;
  }
};

}  // namespace
}  // namespace tessera::scalar
