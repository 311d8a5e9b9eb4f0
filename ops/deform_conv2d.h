// Deformable convolution v1 and v2.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct DeformConv2dParams {
  i64 stride = 1, padding = 0, dilation = 1;  // pixels, the same for both axes
  i64 groups = 1, offset_groups = 1;
};

}  // namespace tessera::ops
