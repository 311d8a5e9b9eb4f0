// Layer normalisation over the last dimension: x is read as R rows of C values.
//
//   y[r,c] = (x[r,c] - mean[r]) * rstd[r] * weight[c] + bias[c],   rstd = 1 / sqrt(var + eps)
//   mean[r] = 1/C sum_c x,   var[r] = 1/C sum_c (x - mean)^2  (biased)
//
// Gradients, with xhat = (x - mean) * rstd and g = gy * weight:
//   gweight[c] = sum_r gy xhat,   gbias[c] = sum_r gy
//   gx[r,c] = rstd[r] * (g - 1/C sum_c g - xhat * 1/C sum_c g xhat)
//
// Shapes: x [..., C], weight and bias [C], each may be undefined (1 and 0); mean and rstd hold one value per row. All
// of one dtype, f32 or f64, or x, y and their gradients in bf16 and the rest in f32. No rows: an empty result and zero
// gradients. C = 0: an empty result. A row with NaN or infinity is NaN throughout, other rows are not touched by it.
// Sums over a row are taken in blocks in the dtype itself, blocks and rows in double, in an order that depends on the
// shape alone.
// Source: Ba, Kiros and Hinton 2016, eq. 4, with PyTorch's eps under the root.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct LayerNormOutput {
  Tensor y, mean, rstd;  // mean and rstd [...] are what the backward needs
};
LayerNormOutput layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

struct LayerNormGradients {
  Tensor x, weight, bias;
};
// All three gradients come from one pass; that of an undefined weight is computed as if it were 1.
LayerNormGradients layer_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& rstd);

// The published counts take 5 for each value, 4 without weight and bias.
inline Work norm_work(const Tensor& x, const Tensor& weight) {
  return {0, x.numel() * (weight.defined() ? 5 : 4)};
}

using LayerNormKernel = void(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& mean,
                             Tensor& rstd, Tensor& y);
using LayerNormBackwardKernel = void(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                     const Tensor& rstd, Tensor& gweight, Tensor& gbias, Tensor& gx);

inline constinit KernelTable<LayerNormKernel> layer_norm_kernels{
    "layer_norm", [](const Tensor& x, const Tensor& weight, auto&&...) { return norm_work(x, weight); }};
inline constinit KernelTable<LayerNormBackwardKernel> layer_norm_backward_kernels{"layer_norm_backward"};

}  // namespace tessera::ops
