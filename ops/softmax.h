// Softmax along one dimension of any shape, stable: the largest value is subtracted first. f32 and f64; sums are taken
// as in ops/reduce.h. A slice with NaN, with +infinity, or of nothing but -infinity gives NaN, as in PyTorch.
//
//   softmax              y_i = exp(x_i) / sum_j exp(x_j)          gx_i = y_i (gy_i - sum_j gy_j y_j)
//   log_softmax          y_i = x_i - log(sum_j exp(x_j))          gx_i = gy_i - exp(y_i) sum_j gy_j
//   normalised_sigmoid   y_i = s_i / max(sum_j s_j, 1e-6)         gx_i = (1 - s_i) y_i (gy_i - sum_j gy_j y_j), without
//                                                                 the sum where the bound was taken
//
// with s = sigmoid(x). The last is how SparseInst weighs the pixels of an instance (section 3.3; the bound is the
// reference implementation's); it also takes bf16, and its sum is f32 or f64.
#pragma once

#include "ops/kernel_table.h"
#include "ops/reduce.h"
#include "ops/scalar/softmax.h"

namespace tessera::ops {

using SoftmaxTable = KernelTable<void(const ReduceDims& dims, const Tensor& x, Tensor& y)>;
using SoftmaxBackwardTable =
    KernelTable<void(const ReduceDims& dims, const Tensor& gy, const Tensor& x_or_y, Tensor& gx)>;

// The tables, by the operator's struct F in ops/scalar/softmax.h.
template <class F>
inline constinit SoftmaxTable softmax_kernels{F::kName};
template <class F>
inline constinit SoftmaxBackwardTable softmax_backward_kernels{kBackwardName<F>.data()};

Tensor softmax(const SoftmaxTable& kernels, bool bf16, const Tensor& x, int dim);
Tensor softmax_backward(const SoftmaxBackwardTable& kernels, bool bf16, const Tensor& gy, const Tensor& x_or_y,
                        int dim);

template <class F>
Tensor softmax(const Tensor& x, int dim) {
  return softmax(softmax_kernels<F>, F::kBf16, x, dim);
}
template <class F>
Tensor softmax_backward(const Tensor& gy, const Tensor& x_or_y, int dim) {
  return softmax_backward(softmax_backward_kernels<F>, F::kBf16, gy, x_or_y, dim);
}

// clang-format off
inline Tensor softmax(const Tensor& x, int dim) { return softmax<scalar::Softmax>(x, dim); }
inline Tensor log_softmax(const Tensor& x, int dim) { return softmax<scalar::LogSoftmax>(x, dim); }
inline Tensor normalised_sigmoid(const Tensor& x, int dim) { return softmax<scalar::NormalisedSigmoid>(x, dim); }
// clang-format on

}  // namespace tessera::ops
