// Differentiable softmax; see ops/softmax.h.
#pragma once

#include "autograd/var.h"

namespace tessera {

Var softmax(const Var& x, int dim);
Var log_softmax(const Var& x, int dim);
Var normalised_sigmoid(const Var& x, int dim);

}  // namespace tessera
