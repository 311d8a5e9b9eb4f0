// Differentiable pooling; see ops/pool.h.
#pragma once

#include "autograd/var.h"
#include "ops/pool.h"

namespace tessera {

Var max_pool2d(const Var& x, const ops::Pool2dParams& params);  // padding counts as -infinity
Var avg_pool2d(const Var& x, const ops::Pool2dParams& params);
Var adaptive_avg_pool2d(const Var& x, i64 height, i64 width);

}  // namespace tessera
