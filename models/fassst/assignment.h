// The objects of a batch and the cells that learn them (data/cells.h). No network is asked.
#pragma once

#include <vector>

#include "data/cells.h"

namespace tessera::fassst {

// The T objects of a batch, one picture after the other, and the N cells that learn one, by picture and cell.
struct Assignment {
  std::vector<std::array<float, 4>> boxes;  // T: t, l, b, r as fractions of the input
  std::vector<i64> picture, classes;        // T
  std::vector<i64> cell, object;            // N: b gh gw + i gw + j; of the T
  i64 positives() const { return std::ssize(cell); }
  i64 left_out() const { return std::ssize(boxes) - positives(); }
};
Assignment assign(const Batch& batch, ImageSize grid);

}  // namespace tessera::fassst
