// The boundary of a mask: what Boundary IoU compares (Cheng et al., Boundary IoU, CVPR 2021).
#pragma once

#include "data/rle.h"

namespace tessera {

// How thick a boundary is, in pixels: the ratio (0.02 for COCO and LVIS, 0.005 for Cityscapes) of the image's diagonal,
// max(1, round(ratio * sqrt(height^2 + width^2))), halves rounded to even. Throws on a ratio outside [0, 1].
i64 boundary_distance(i64 height, i64 width, double ratio);

// The pixels of the mask that are no interior: the square of side 2 * distance + 1 around an interior pixel lies wholly
// in the mask. What is outside the image belongs to no mask, so an object cut by the image's border has a boundary
// there. The runs of the result are canonical. Throws when distance < 1 or the runs are no mask.
Rle boundary_of(const Rle& mask, i64 distance);

}  // namespace tessera
