// What a resize reads along one axis; ops/interpolate.h states the formulas. f64, but for the nearest pixel, which is
// found in f32 as PyTorch does.
#pragma once

#include <cmath>

#include "ops/interpolate.h"
#include "ops/scalar/numbers.h"

namespace tessera::scalar {
namespace {

// An output position is first_weight * input[first] + second_weight * input[second].
template <class T, class Int>
struct ResizeWeights {
  Int first, second;
  T first_weight, second_weight;

  // What it takes of input i; at the edge both may be i.
  TESSERA_HD T of(i64 i) const { return (first == i ? first_weight : T(0)) + (second == i ? second_weight : T(0)); }
};

struct ResizeAxis {
  i64 in, out;
  ops::Interpolation mode;
  bool align_corners;

  template <class T, class Int>
  TESSERA_HD ResizeWeights<T, Int> weights(i64 o) const {
    const i64 last = in - 1;
    if (mode == ops::Interpolation::kNearest) {
      const float scale = static_cast<float>(in) / static_cast<float>(out);
      const Int i = static_cast<Int>(smaller(static_cast<i64>(std::floor(static_cast<float>(o) * scale)), last));
      return {i, i, 1, 0};
    }
    const double position = static_cast<double>(o), ratio = static_cast<double>(in) / static_cast<double>(out);
    double source = larger((position + 0.5) * ratio - 0.5, 0.0);
    if (align_corners) source = out > 1 ? position * static_cast<double>(last) / static_cast<double>(out - 1) : 0.0;
    const i64 i = smaller(static_cast<i64>(source), last);
    const double fraction = source - static_cast<double>(i);
    return {static_cast<Int>(i), static_cast<Int>(smaller(i + 1, last)), static_cast<T>(1 - fraction),
            static_cast<T>(fraction)};
  }
};

}  // namespace
}  // namespace tessera::scalar
