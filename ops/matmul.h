// Matrix products. f32, f64 and bf16 (ops/dtypes.h); sums run in the dtype of the operands, of bf16 in f32. NaN and
// infinities propagate.
#pragma once

#include "ops/activation.h"
#include "ops/kernel_table.h"

namespace tessera::ops {

enum class Transpose { kNone, kFirst, kSecond, kBoth };  // which operands are transposed in their last two dimensions

// One product, batch times: c[b] = op(a[b]) op(b[b]), [M, K] x [K, N] -> [M, N].
struct MatmulDims {
  i64 batch, M, N, K;
  bool transpose_a, transpose_b;  // a is stored [K, M], b is stored [N, K]
};

using MatmulKernel = void(const MatmulDims& dims, const Tensor& a, const Tensor& b, Tensor& c);
using LinearKernel = void(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation, Tensor& y);
using ColumnSumKernel = void(const Tensor& x, Tensor& y);
inline constinit KernelTable<MatmulKernel> matmul_kernels{
    "matmul", [](const MatmulDims& d, auto&&...) { return multiply_adds(d.batch * d.M * d.N * d.K); }};
inline constinit KernelTable<LinearKernel> linear_kernels{
    "linear",
    [](const Tensor& x, const Tensor& weight, auto&&...) { return multiply_adds(x.numel() * weight.dim(0)); }};
inline constinit KernelTable<ColumnSumKernel> column_sum_kernels{"column_sum"};

// c = op(a) op(b). Both of rank 2, or both of rank 3 with the same batch size; nothing is broadcast. K = 0 gives zeros.
Tensor matmul(const Tensor& a, const Tensor& b, Transpose transpose = Transpose::kNone);

// y[..., o] = act(sum_i x[..., i] weight[o, i] + bias[o]): x [..., I], weight [O, I], bias [O] or undefined -> [..., O].
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation = Activation::kNone);

// Its gradients; with an activation gy is the gradient before it (activation_backward in ops/pointwise.h).
Tensor linear_backward_input(const Tensor& gy, const Tensor& weight);  // gx[..., i] = sum_o gy[..., o] weight[o, i]
Tensor linear_backward_weight(const Tensor& gy, const Tensor& x);      // gw[o, i] = sum over rows of gy[., o] x[., i]

// y[c] = sum over all other positions of x[..., c]: the gradient of a bias. x of rank >= 1.
Tensor column_sum(const Tensor& x);

}  // namespace tessera::ops
