// Normalisation at one value, a number or a vector of them; ops/{layer,group,batch}_norm.h and ops/normalize_pad.h
// state the formulas.
#pragma once

#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

[[gnu::always_inline]] TESSERA_HD inline auto normalised(auto x, auto mean, auto scale, auto bias) {
  return (x - mean) * scale + bias;
}
[[gnu::always_inline]] TESSERA_HD inline auto normalised(auto x, auto mean, auto rstd, auto weight, auto bias) {
  return (x - mean) * rstd * weight + bias;
}
// gx of moments that depend on x: shift and slope are what these take off.
[[gnu::always_inline]] TESSERA_HD inline auto normalised_gradient(auto gy, auto x, auto mean, auto scale, auto shift,
                                                                  auto slope) {
  return gy * scale - shift - (x - mean) * slope;
}

// A value of a picture.
TESSERA_HD inline float standardised(unsigned char value, float mean, float std) {
  return (static_cast<float>(value) - mean) / std;
}

}  // namespace
}  // namespace tessera::scalar
