// Group normalisation with the channels last: each of N samples is P rows of C channels, in G groups of C / G
// neighbouring channels.
//
//   y[n,p,c] = (x[n,p,c] - mean[n,g]) * rstd[n,g] * weight[c] + bias[c],   g = c / (C / G),  rstd = 1 / sqrt(var + eps)
//   mean[n,g] = the mean of the M = P C / G values of group g,   var[n,g] = their biased variance
//
// Gradients, with xhat = (x - mean) * rstd and h = gy * weight:
//   gweight[c] = sum_{n,p} gy xhat,   gbias[c] = sum_{n,p} gy
//   gx = rstd * (h - 1/M sum_g h - xhat * 1/M sum_g h xhat)          sum_g: over the values of the group
//
// Shapes: x [N, ..., C], weight and bias [C], each may be undefined (1 and 0); mean and rstd [N, G]. All of one dtype,
// f32 or f64, or x, y and their gradients in bf16 and the rest in f32. No samples or no rows: an empty result and zero
// gradients. NaN or infinity in a group makes that group of that sample NaN. Sums are taken over chunks of rows in the
// dtype, and of the chunks in double; the order depends on the shape alone.
// Source: Wu and He 2018, eq. 1 and 7, with PyTorch's conventions.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct GroupNormDims {
  i64 N, P, C, G;
  i64 group() const { return C / G; }  // channels
};

struct GroupNormOutput {
  Tensor y, mean, rstd;  // mean and rstd [N, G] are what the backward needs
};
GroupNormOutput group_norm(const Tensor& x, i64 num_groups, const Tensor& weight, const Tensor& bias, double eps);

struct GroupNormGradients {
  Tensor x, weight, bias;
};
// All three gradients come from one call; that of an undefined weight is computed as if it were 1.
GroupNormGradients group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& rstd);

using GroupNormKernel = void(const GroupNormDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                             double eps, Tensor& mean, Tensor& rstd, Tensor& y);
using GroupNormBackwardKernel = void(const GroupNormDims& dims, const Tensor& gy, const Tensor& x, const Tensor& weight,
                                     const Tensor& mean, const Tensor& rstd, Tensor& gweight, Tensor& gbias,
                                     Tensor& gx);

// The published counts take 5 for each value, 4 without weight and bias.
inline constinit KernelTable<GroupNormKernel> group_norm_kernels{
    "group_norm", [](const GroupNormDims&, const Tensor& x, const Tensor& weight, auto&&...) {
      return Work{0, x.numel() * (weight.defined() ? 5 : 4)};
    }};
inline constinit KernelTable<GroupNormBackwardKernel> group_norm_backward_kernels{"group_norm_backward"};

}  // namespace tessera::ops
