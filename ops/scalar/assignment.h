// What decides in the assignment solver, the same on all devices; ops/cpu/assignment.cpp states the algorithm.
#pragma once

#include "ops/scalar/host_device.h"

namespace tessera::scalar {
namespace {

// The path to a column over a row that was reached; numbers or vectors.
template <class Value>
TESSERA_HD inline Value path_length(Value reached, Value cost, Value row_price, Value column_price) {
  return reached + cost - row_price - column_price;
}

// Of columns that are equally far the one of the lowest rank enters the tree. They stand in a list, `place` tells
// where: free columns win, the last of the list first, then come the others in its order.
template <class Int>
TESSERA_HD inline Int tie_rank(Int place, bool is_free, Int columns) {
  return is_free ? columns - 1 - place : columns + place;
}

}  // namespace
}  // namespace tessera::scalar
