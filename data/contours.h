// From masks to outlines: the inverse of data/rasterise.h.
#pragma once

#include "data/coco.h"

namespace tessera {

// The outlines of a mask along the edges of its pixels, one of each part whose pixels touch along edges and one of each
// hole. By the even-odd rule they are the mask.
Polygons mask_outlines(const Rle& mask);

// The same, one polygon for each part. Drawing them (rasterise_polygons) gives the mask back exactly. A hole is reached
// from its part's outline by a seam that is walked there and back. None for an empty mask.
Polygons trace_mask(const Rle& mask);

// The polygons as one, the later ones reached from the first by seams. Where they do not overlap it draws as they do.
std::vector<double> joined_polygon(const Polygons& parts);

}  // namespace tessera
