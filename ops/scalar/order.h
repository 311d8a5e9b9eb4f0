// The larger and the smaller of two numbers, as std::max and std::min, which not all callers of ops/scalar/ may call:
// of a NaN and a number the first stays.
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

}  // namespace
}  // namespace tessera::scalar
