// Differentiable RoIAlign; see ops/roi_align.h.
#pragma once

#include "autograd/var.h"
#include "ops/roi_align.h"

namespace tessera {

// x [N, H, W, C], rois [R, 5] -> [R, height, width, C]. There is no gradient of rois: backward throws when they need
// one, detach() them.
Var roi_align(const Var& x, const Var& rois, const ops::RoiAlignParams& params);

}  // namespace tessera
