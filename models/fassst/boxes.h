// Boxes (t, l, b, r): top, left, bottom and right edge as fractions of the input, which is what the paper calls them.
//
// Cell (i, j) of a gh x gw grid, raw coordinates y x h w, s the sigmoid:
//   centre   cy = (i + 3 s(y) - 1) / gh,  cx = (j + 3 s(x) - 1) / gw       up to a cell outside of the cell
//            height = exp(clamp(h, -6, 3)) / gh,  width alike
//   edges    t, l, b, r = s of the four; for all but the loss t and b, l and r are put in order
#pragma once

#include "autograd/var.h"
#include "data/image.h"
#include "models/fassst/config.h"

namespace tessera::fassst {

// raw [B, gh, gw, 4 or more] -> [B gh gw, 4], not cut to the frame. Gradients end where h or w is clamped; those of
// edges in order are not needed and not given.
Var decode(const Var& raw, BoxForm form);

Tensor cut_to_frame(const Tensor& boxes);

// Boxes [R, 4] of pictures i64 [R] as RoIAlign takes them, in pixels of the input: (picture, x0, y0, x1, y1) [R, 5].
Tensor regions(const Tensor& picture, const Tensor& boxes, ImageSize input);

}  // namespace tessera::fassst
