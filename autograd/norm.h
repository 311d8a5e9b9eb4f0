// Differentiable normalisation; see ops/batch_norm.h.
#pragma once

#include "autograd/var.h"

namespace tessera {

// Batch normalisation over all dimensions but the last (channels), as PyTorch: training uses the batch's mean and
// biased variance and updates running_mean and running_var in place (momentum, unbiased variance); evaluation uses the
// running statistics. weight, bias, running_mean, running_var: [C].
Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
               bool training, double momentum, double eps);

}  // namespace tessera
