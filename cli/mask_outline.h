// The outline of a mask as polygons.
#pragma once

#include <array>
#include <vector>

#include "data/rle.h"

namespace tessera {

// Closed polygons along the edges of the pixels, of their corners (x, y) where the direction changes, horizontal and
// vertical edges in turn. Filled by the even-odd rule they are the mask, pixel for pixel: a hole is a polygon of its
// own, and pixels that touch at a corner alone lie in different ones.
std::vector<std::vector<std::array<i64, 2>>> mask_outline(const Rle& mask);

}  // namespace tessera
