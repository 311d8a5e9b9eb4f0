// Differentiable sorting; see ops/sort.h.
#pragma once

#include "autograd/var.h"

namespace tessera {

struct Sorted {
  Var values;      // [..., K]
  Tensor indices;  // i64 [..., K]
};
Sorted sort(const Var& x, bool descending);  // along the last dimension, stable; NaN counts as the largest

}  // namespace tessera
