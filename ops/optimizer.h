// Updates of many parameters at once, in place, element by element: a list of tensors is one operator, on a GPU one
// launch or a few. The tensors of an entry have one shape and dtype (f32 or f64), all lie on one device.
//
// What an update does with the gradients is decided on the device, so the host launches all of it without waiting:
// `scale` is one f64 number that the gradients are multiplied by before they are used. Where it is NaN the update is
// refused: nothing is changed. Undefined: 1.
#pragma once

#include <span>

#include "ops/kernel_table.h"

namespace tessera::ops {

// The scale of an update and the norm that it comes from, f64 [1] each:
//   norm  = sqrt(sum_of_squares)                        of all gradients together (ops/reduce.h)
//   scale = min(1, max_norm / (norm + 1e-6))            as PyTorch's clip_grad_norm_; with max_norm 0: 1
// scale is NaN where the norm is not finite or any value of `watched`, losses for example; that may be undefined.
struct GradientScale {
  Tensor norm, scale;
};
GradientScale clip_grad_norm(const Tensor& sum_of_squares, double max_norm, const Tensor& watched = {});

// AdamW (Loshchilov and Hutter 2019) in PyTorch's order of operations, g = scale gradient, t = step:
//   p -= lr weight_decay p
//   m  = beta1 m + (1 - beta1) g
//   v  = beta2 v + (1 - beta2) g^2
//   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
struct AdamWParams {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  i64 step = 1;  // counts from 1
};
struct AdamWUpdate {
  Tensor parameter, gradient, m, v;
  AdamWParams params = {};
};
void adamw_step(std::span<AdamWUpdate> updates, const Tensor& scale = {});

// SGD with momentum as PyTorch (no dampening, no Nesterov), g = scale gradient:
//   d = g + weight_decay p
//   buffer = momentum buffer + d  (first_step: buffer = d)
//   p -= lr buffer
// With momentum 0 the buffer is not used and may be undefined: p -= lr d.
struct SgdParams {
  double lr = 1e-2, momentum = 0.9, weight_decay = 0;
  bool first_step = false;
};
struct SgdUpdate {
  Tensor parameter, gradient, momentum_buffer;
  SgdParams params = {};
};
void sgd_step(std::span<SgdUpdate> updates, const Tensor& scale = {});

// target += weight (source - target): moving averages. Of the scale it matters only whether it is NaN.
struct LerpUpdate {
  Tensor target, source;
};
void lerp_into(std::span<LerpUpdate> updates, double weight, const Tensor& scale = {});

using ClipGradNormKernel = void(const Tensor& sum_of_squares, double max_norm, const Tensor& watched, Tensor& norm,
                                Tensor& scale);
using AdamWStepKernel = void(std::span<AdamWUpdate> updates, const Tensor& scale);
using SgdStepKernel = void(std::span<SgdUpdate> updates, const Tensor& scale);
using LerpIntoKernel = void(std::span<LerpUpdate> updates, double weight, const Tensor& scale);

inline constinit KernelTable<ClipGradNormKernel> clip_grad_norm_kernels{"clip_grad_norm"};
inline constinit KernelTable<AdamWStepKernel> adamw_step_kernels{"adamw_step"};
inline constinit KernelTable<SgdStepKernel> sgd_step_kernels{"sgd_step"};
inline constinit KernelTable<LerpIntoKernel> lerp_into_kernels{"lerp_into"};

}  // namespace tessera::ops
