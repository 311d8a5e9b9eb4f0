// Updates of parameters, in place, element by element. All tensors have the parameter's shape and dtype (f32 or f64).
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

// AdamW (Loshchilov and Hutter 2019) in PyTorch's order of operations, t = step:
//   p -= lr weight_decay p
//   m  = beta1 m + (1 - beta1) g
//   v  = beta2 v + (1 - beta2) g^2
//   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
struct AdamWParams {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  i64 step = 1;  // counts from 1
};
void adamw_step(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v, const AdamWParams& params);

// SGD with momentum as PyTorch (no dampening, no Nesterov):
//   d = g + weight_decay p
//   buffer = momentum buffer + d  (first_step: buffer = d)
//   p -= lr buffer
// With momentum 0 the buffer is not used and may be undefined: p -= lr d.
struct SgdParams {
  double lr = 1e-2, momentum = 0.9, weight_decay = 0;
  bool first_step = false;
};
void sgd_step(Tensor& parameter, const Tensor& gradient, Tensor& momentum_buffer, const SgdParams& params);

void scale_into(Tensor& target, double factor);  // target *= factor (gradient clipping)
void lerp_into(Tensor& target, const Tensor& source,
               double weight);  // target += weight (source - target) (moving averages)

using AdamWStepKernel = void(Tensor& parameter, const Tensor& gradient, Tensor& m, Tensor& v,
                             const AdamWParams& params);
using SgdStepKernel = void(Tensor& parameter, const Tensor& gradient, Tensor& momentum_buffer, const SgdParams& params);
using ScaleIntoKernel = void(Tensor& target, double factor);
using LerpIntoKernel = void(Tensor& target, const Tensor& source, double weight);

inline constinit KernelTable<AdamWStepKernel> adamw_step_kernels{"adamw_step"};
inline constinit KernelTable<SgdStepKernel> sgd_step_kernels{"sgd_step"};
inline constinit KernelTable<ScaleIntoKernel> scale_into_kernels{"scale_into"};
inline constinit KernelTable<LerpIntoKernel> lerp_into_kernels{"lerp_into"};

}  // namespace tessera::ops
