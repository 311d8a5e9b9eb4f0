// Differentiable sampling at points; see ops/grid_sample.h.
#pragma once

#include "autograd/var.h"
#include "ops/grid_sample.h"

namespace tessera {

// x [N, H, W, C], grid [N, Ho, Wo, 2] in [-1, 1] -> [N, Ho, Wo, C]
Var grid_sample(const Var& x, const Var& grid, bool align_corners = false);

// x [N, H, W, C], image [P] i64, points [P, 2] in [0, 1] -> [P, C]
Var sample_points(const Var& x, const Tensor& image, const Var& points);

}  // namespace tessera
