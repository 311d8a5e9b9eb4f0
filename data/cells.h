// Which cell of a grid over the picture learns which object, for networks whose cells find one object each (FASSST).
// It follows from the objects alone.
//
// One object has at most one cell, one cell at most one object. The largest masks come first, equal ones in their
// order:
//   1. each takes the cell of its box's centre, if that is free
//   2. each without a cell takes the nearest free one of the 8 around, of equals the first by rows
//   3. the rest is not learned
#pragma once

#include <span>
#include <vector>

#include "data/sample.h"

namespace tessera {

constexpr i64 kNoCell = -1;

// The objects of one picture as they look to the cells.
struct PlacedObjects {
  std::vector<std::array<float, 4>> boxes;  // t, l, b, r as fractions of the input
  std::vector<i64> areas;                   // of the masks, in pixels
};
PlacedObjects placed_objects(const Targets& targets, ImageSize input);

// The cell of each, i gw + j. input: distances are in pixels.
std::vector<i64> assign_cells(const PlacedObjects& objects, ImageSize grid, ImageSize input);

// How many have the cell of their centre, and how many have one at all.
struct CellsTaken {
  i64 of_centre = 0, any = 0;
};
CellsTaken cells_taken(const PlacedObjects& objects, ImageSize grid, ImageSize input);

}  // namespace tessera
