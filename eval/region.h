// A mask ready for comparison with others of its picture.
#pragma once

#include <optional>

#include "data/boundary.h"

namespace tessera {

struct Region {
  Rle mask, boundary;  // the boundary is absent, without runs, where masks alone are compared
  i64 pixels = 0, boundary_pixels = 0;

  // A ratio says how thick the boundary is (data/boundary.h).
  Region(Rle runs, std::optional<double> ratio) : mask(std::move(runs)), pixels(rle_area(mask)) {
    if (!ratio) return;
    boundary = boundary_of(mask, boundary_distance(mask.height, mask.width, *ratio));
    boundary_pixels = rle_area(boundary);
  }
};

}  // namespace tessera
