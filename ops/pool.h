// 2-D pooling in NHWC.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct Pool2dParams {
  i64 kernel = 2, stride = 2, padding = 0;  // pixels, the same for both axes
  bool ceil_mode = false;         // round the output size up; windows that start in the right padding are dropped
  bool count_include_pad = true;  // average pooling: padded zeros count in the divisor
};

}  // namespace tessera::ops
