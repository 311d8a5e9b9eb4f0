// From masks to outlines: the inverse of data/rasterise.h.
#pragma once

#include "data/coco.h"

namespace tessera {

// The outlines of a mask along the edges of its pixels, one polygon for each part whose pixels touch along edges.
// Drawing them (rasterise_polygons) gives the mask back exactly. A hole is reached from its part's outline by a seam
// that is walked there and back. None for an empty mask.
Polygons trace_mask(const Rle& mask);

// The polygons as one, the later ones reached from the first by seams. Where they do not overlap it draws as they do.
std::vector<double> joined_polygon(const Polygons& parts);

}  // namespace tessera
