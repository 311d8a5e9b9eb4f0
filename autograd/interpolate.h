// Differentiable resizing of feature maps; see ops/interpolate.h.
#pragma once

#include "autograd/var.h"
#include "ops/interpolate.h"

namespace tessera {

// x [N, H, W, C] -> [N, height, width, C]
Var interpolate(const Var& x, i64 height, i64 width, ops::Interpolation mode, bool align_corners = false);

}  // namespace tessera
