// Which cell of the grid learns which object. No network is asked: it follows from the objects alone.
//
// One object has at most one cell, one cell at most one object. The largest masks come first, equal ones in their
// order:
//   1. each takes the cell of its box's centre, if that is free
//   2. each without a cell takes the nearest free one of the 8 around, of equals the first by rows
//   3. the rest is not learned, and is counted
#pragma once

#include <span>
#include <vector>

#include "data/sample.h"

namespace tessera::fassst {

constexpr i64 kNoCell = -1;

// Of one picture: boxes [T, 4] (t, l, b, r as fractions of the input), areas in pixels -> the cell of each, i gw + j.
// input: distances are in pixels.
std::vector<i64> assign_cells(std::span<const std::array<float, 4>> boxes, std::span<const i64> areas, ImageSize grid,
                              ImageSize input);

// The T objects of a batch, one picture after the other, and the N cells that learn one, by picture and cell.
struct Assignment {
  std::vector<std::array<float, 4>> boxes;  // T: t, l, b, r
  std::vector<i64> picture, classes;        // T
  std::vector<i64> cell, object;            // N: b gh gw + i gw + j; of the T
  i64 positives() const { return std::ssize(cell); }
  i64 left_out() const { return std::ssize(boxes) - positives(); }
};
Assignment assign(const Batch& batch, ImageSize grid);

}  // namespace tessera::fassst
