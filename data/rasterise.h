// From outlines to masks, pixel for pixel as the COCO mask API draws them.
#pragma once

#include <span>
#include <vector>

#include "data/rle.h"

namespace tessera {

// Mask of one polygon x0, y0, x1, y1, ... (an odd trailing number is dropped; fewer than three points give an empty
// mask). A pixel column's centre line is filled between the outline's crossings (even-odd), positions being rounded on
// a grid five times finer than the pixels. Whatever lies outside height x width is cut off. Throws on coordinates that
// are not finite or beyond 2^20.
Rle rasterise_polygon(std::span<const double> xy, i64 height, i64 width);

// One object made of several parts: their union. Throws when there is no part, or when the first has fewer than three
// points ("too few" as the COCO tool sees it: at most four numbers); later parts may have any number.
Rle rasterise_polygons(std::span<const std::vector<double>> parts, i64 height, i64 width);

// Throws what rasterise_polygons() would throw, without drawing anything.
void check_polygons(std::span<const std::vector<double>> parts);

// A box as the polygon of its four corners.
Rle rasterise_box(const XywhBox& box, i64 height, i64 width);

}  // namespace tessera
