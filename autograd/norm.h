// Differentiable normalisation; see ops/batch_norm.h, ops/layer_norm.h and ops/group_norm.h.
#pragma once

#include <functional>

#include "autograd/var.h"

namespace tessera {

// While one lives, what batch_norm gets in training on this thread are parts of batches, of which other processes have
// the rest: add_up(f32 tensor) makes it the sum over all of them, in place. Mean and variance are then those of the
// whole batch, and so are the gradients of x.
class WholeBatch {
 public:
  using AddUp = std::function<void(const Tensor&)>;
  explicit WholeBatch(AddUp add_up);
  ~WholeBatch();
  WholeBatch(const WholeBatch&) = delete;
  WholeBatch& operator=(const WholeBatch&) = delete;
};

// Batch normalisation over all dimensions but the last (channels), as PyTorch: training uses the batch's mean and
// biased variance and updates running_mean and running_var in place (momentum, unbiased variance); evaluation uses the
// running statistics. weight, bias, running_mean, running_var: [C].
Var batch_norm(const Var& x, const Var& weight, const Var& bias, Tensor& running_mean, Tensor& running_var,
               bool training, double momentum, double eps);

// y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and biased variance of each row of x [..., C]. weight and
// bias [C], each may be undefined.
Var layer_norm(const Var& x, const Var& weight, const Var& bias, double eps = 1e-5);

// The same over each group of channels of each sample of x [N, ..., C]; weight and bias [C], each may be undefined.
Var group_norm(const Var& x, i64 num_groups, const Var& weight, const Var& bias, double eps = 1e-5);

}  // namespace tessera
