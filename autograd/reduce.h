// Differentiable reductions; ops/reduce.h states the formulas.
#pragma once

#include <vector>

#include "autograd/var.h"

namespace tessera {

// Over the listed dimensions (negative positions count from the end); no list: over all of them.
Var sum(const Var& x, const std::vector<int>& dims = {}, bool keepdim = false);
Var mean(const Var& x, const std::vector<int>& dims = {}, bool keepdim = false);
// Largest value along one dimension; the gradient goes to the first position that attains it.
Var max(const Var& x, int dim, bool keepdim = false);

}  // namespace tessera
