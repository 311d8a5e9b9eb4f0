// Numbers: the larger and the smaller of two as std::max and std::min, of which the SIMD files may call no instance (of
// a NaN and a number the first stays), and what lies between two.
#pragma once

#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

template <class T>
TESSERA_HD inline T larger(T a, T b) {
  return a < b ? b : a;
}
template <class T>
TESSERA_HD inline T smaller(T a, T b) {
  return b < a ? b : a;
}
template <class T>
TESSERA_HD inline T clamped(T x, T low, T high) {
  return smaller(larger(x, low), high);
}

template <class T>
TESSERA_HD inline T lerp(T from, T to, T weight) {
  return from + weight * (to - from);
}

}  // namespace
}  // namespace tessera::scalar
