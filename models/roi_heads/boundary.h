// The boundary of a mask, as RefineMask finds it.                                  Zhang et al. 2021, section 3.3, code
//
//   |m - b| > 0.1,  b the mean of m over the (2 d + 1) x (2 d + 1) cells around, where cells outside count as 0
//
// so a cell of the mask is in its boundary when more than a tenth of its surroundings lies outside the mask or the
// grid, and a cell outside the mask when more than a tenth lies inside.
#pragma once

#include "tensor/tensor.h"

namespace tessera::roi_heads {

// mask f32 [R, S, S, 1] of 0 and 1 -> the same. d: cells to each side.
Tensor boundary(const Tensor& mask, i64 d);

}  // namespace tessera::roi_heads
