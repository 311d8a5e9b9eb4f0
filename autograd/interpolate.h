// Differentiable resizing of feature maps; see ops/interpolate.h.
#pragma once

#include <vector>

#include "autograd/var.h"
#include "ops/interpolate.h"

namespace tessera {

// x [N, H, W, C] -> [N, height, width, C]
Var interpolate(const Var& x, i64 height, i64 width, ops::Interpolation mode, bool align_corners = false);

// parts [N, H_i, W_i, C_i] -> [N, height, width, sum of C_i]
Var concat_resized(const std::vector<Var>& parts, i64 height, i64 width, ops::Interpolation mode);

}  // namespace tessera
