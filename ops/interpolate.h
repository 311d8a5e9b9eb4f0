// Resizing of feature maps in NHWC.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Interpolation { kNearest, kBilinear };

}  // namespace tessera::ops
