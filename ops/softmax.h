// Softmax along one dimension of any shape, stable: the largest value is subtracted first. f32 and f64; sums are taken
// as in ops/reduce.h. A slice with NaN, with +infinity, or of nothing but -infinity gives NaN, as in PyTorch.
#pragma once

#include "ops/kernel_table.h"
#include "ops/reduce.h"

namespace tessera::ops {

using SoftmaxTable = KernelTable<void(const ReduceDims& dims, const Tensor& x, Tensor& y)>;
using SoftmaxBackwardTable = KernelTable<void(const ReduceDims& dims, const Tensor& gy, const Tensor& y, Tensor& gx)>;

// y_i = exp(x_i) / sum_j exp(x_j)
inline constinit SoftmaxTable softmax_kernels{"softmax"};
Tensor softmax(const Tensor& x, int dim);
// gx_i = y_i (gy_i - sum_j gy_j y_j)
inline constinit SoftmaxBackwardTable softmax_backward_kernels{"softmax_backward"};
Tensor softmax_backward(const Tensor& gy, const Tensor& y, int dim);

// y_i = x_i - log(sum_j exp(x_j))
inline constinit SoftmaxTable log_softmax_kernels{"log_softmax"};
Tensor log_softmax(const Tensor& x, int dim);
// gx_i = gy_i - exp(y_i) sum_j gy_j
inline constinit SoftmaxBackwardTable log_softmax_backward_kernels{"log_softmax_backward"};
Tensor log_softmax_backward(const Tensor& gy, const Tensor& y, int dim);

// y_i = s_i / max(sum_j s_j, 1e-6), s = sigmoid(x): how SparseInst weighs the pixels of an instance (section 3.3; the
// bound is the reference implementation's). Also bf16; the sum is f32 or f64.
inline constexpr double kSmallestSum = 1e-6;
inline constinit SoftmaxTable normalised_sigmoid_kernels{"normalised_sigmoid"};
Tensor normalised_sigmoid(const Tensor& x, int dim);
// gx_i = (1 - s_i) y_i (gy_i - sum_j gy_j y_j), without the sum where the bound was taken
inline constinit SoftmaxBackwardTable normalised_sigmoid_backward_kernels{"normalised_sigmoid_backward"};
Tensor normalised_sigmoid_backward(const Tensor& gy, const Tensor& x, int dim);

}  // namespace tessera::ops
