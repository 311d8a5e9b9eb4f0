// Batch normalisation over all dimensions but the last: x is read as P rows of C channels.
//
//   y[p,c] = (x[p,c] - mean[c]) * invstd[c] * weight[c] + bias[c],   invstd = 1 / sqrt(var + eps)
//
//   training     mean = 1/P sum_p x,  var = 1/P sum_p (x - mean)^2  (biased), and in place, with momentum m:
//                running_mean = (1 - m) running_mean + m mean
//                running_var  = (1 - m) running_var  + m var P / (P - 1)  (unbiased)
//   evaluation   mean = running_mean, var = running_var; nothing is updated
//
// Gradients, with xhat = (x - mean) * invstd and sums over p:
//   gbias = sum gy,   gweight = sum gy xhat
//   training     gx = weight * invstd * (gy - gbias / P - xhat * gweight / P)
//   evaluation   gx = weight * invstd * gy
//
// Shapes: x [..., C]; weight, bias, running_mean, running_var, mean, invstd [C]; all of one dtype, f32 or f64, or x, y
// and their gradients in bf16 and the rest in f32.
// An empty batch (P = 0) gives an empty result, zero gradients and leaves the running statistics alone.
// Source: Ioffe and Szegedy 2015, with PyTorch's conventions for the variances and the momentum.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct BatchNormParams {
  bool training = true;
  double momentum = 0.1;  // weight of the new batch in the running statistics
  double eps = 1e-5;
};

struct BatchNormOutput {
  Tensor y, mean, invstd;  // mean and invstd [C] are what the backward needs
};

// A normalisation of x in the published counts, which take 2 for each value with fixed statistics and 5 with the
// batch's.
inline Work batch_norm_work(const Tensor& x, bool training) {
  return {0, x.numel() * (training ? 5 : 2)};
}

// Throws in training when P = 1: the variance of one value says nothing (as PyTorch).
BatchNormOutput batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                           Tensor& running_var, const BatchNormParams& params);

struct BatchNormGradients {
  Tensor x, weight, bias;
};

BatchNormGradients batch_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                       const Tensor& invstd, bool training);

// The gradient of x alone in evaluation mode (frozen weights): needs neither x nor any sum.
Tensor batch_norm_frozen_backward(const Tensor& gy, const Tensor& weight, const Tensor& invstd);

using BatchNormKernel = void(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& running_mean,
                             Tensor& running_var, const BatchNormParams& params, Tensor& mean, Tensor& invstd,
                             Tensor& y);
using BatchNormBackwardKernel = void(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                                     const Tensor& invstd, bool training, Tensor& gx, Tensor& gweight, Tensor& gbias);
using BatchNormFrozenBackwardKernel = void(const Tensor& gy, const Tensor& weight, const Tensor& invstd, Tensor& gx);

inline constinit KernelTable<BatchNormKernel> batch_norm_kernels{
    "batch_norm", [](const Tensor& x, const Tensor&, const Tensor&, Tensor&, Tensor&, const BatchNormParams& params,
                     auto&&...) { return batch_norm_work(x, params.training); }};
inline constinit KernelTable<BatchNormBackwardKernel> batch_norm_backward_kernels{"batch_norm_backward"};
inline constinit KernelTable<BatchNormFrozenBackwardKernel> batch_norm_frozen_backward_kernels{
    "batch_norm_frozen_backward"};

}  // namespace tessera::ops
