// 2-D convolution (cross-correlation) in NHWC.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Activation { kNone, kRelu };

struct Conv2dParams {
  i64 stride = 1, padding = 0, dilation = 1;  // pixels, the same for both axes
  i64 groups = 1;
  Activation activation = Activation::kNone;  // applied after the bias, in the same pass
};

}  // namespace tessera::ops
