// Where a convolution reads.
#pragma once

#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

// The row (or column) of the input that output row `out` sees at row `position` of the kernel; outside the input, too.
template <class I, class Params>
TESSERA_HD inline I seen_place(I out, I position, const Params& p) {
  return out * p.stride - p.padding + position * p.dilation;
}

}  // namespace
}  // namespace tessera::scalar
