// Boxes relative to anchors, as in R-CNN (Girshick et al. 2014) and without its means and deviations. With centres
// (x, y) and sizes (w, h), a the anchor's:
//
//   deltas = ((x - xa) / wa, (y - ya) / ha, log(w / wa), log(h / ha))
//
// Decoding clamps the last two at 62.5: the reference means the logarithm of 1000 / 16 and leaves it out, so that in
// practice nothing is clamped.
#pragma once

#include "autograd/var.h"

namespace tessera::fqdet {

// x1 y1 x2 y2 -> x y w h; [N, 4]
Tensor centre_form(const Tensor& boxes);

// boxes and anchors x1 y1 x2 y2 -> deltas; all [N, 4]
Tensor encode(const Tensor& boxes, const Tensor& anchors);

// deltas -> boxes x1 y1 x2 y2
Var decode(const Var& deltas, const Tensor& anchors);

}  // namespace tessera::fqdet
