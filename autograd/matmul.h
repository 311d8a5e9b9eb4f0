// Differentiable matrix products; see ops/matmul.h.
#pragma once

#include "autograd/var.h"
#include "ops/matmul.h"

namespace tessera {

// op(a) op(b): [M, K] x [K, N] -> [M, N], or batched [B, M, K] x [B, K, N] -> [B, M, N], each optionally transposed
// in its last two dimensions.
Var matmul(const Var& a, const Var& b, ops::Transpose transpose = ops::Transpose::kNone);

// y[..., o] = act(sum_i x[..., i] w[o, i] + b[o]); x [..., I], w [O, I], b [O] or undefined.
Var linear(const Var& x, const Var& weight, const Var& bias, ops::Activation activation = ops::Activation::kNone);

}  // namespace tessera
