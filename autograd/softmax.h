// Differentiable softmax; see ops/softmax.h.
#pragma once

#include "autograd/var.h"
#include "ops/softmax.h"

namespace tessera {

// F: a struct of ops/scalar/softmax.h
template <class F>
Var softmax(const Var& x, int dim) {
  Tensor y = ops::softmax<F>(x.value(), dim);
  return record(F::kName, y, {x}, [kept = F::kFromY ? y : x.value(), dim](const Tensor& gy, Gradients& gradients) {
    gradients.add(0, ops::softmax_backward<F>(gy, kept, dim));
  });
}
// clang-format off
inline Var softmax(const Var& x, int dim) { return softmax<scalar::Softmax>(x, dim); }
inline Var log_softmax(const Var& x, int dim) { return softmax<scalar::LogSoftmax>(x, dim); }
inline Var normalised_sigmoid(const Var& x, int dim) { return softmax<scalar::NormalisedSigmoid>(x, dim); }
// clang-format on

}  // namespace tessera
