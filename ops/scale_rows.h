// Many tensors at once, each its rows times a factor of their own: what a training step makes of its parameters before
// the forward pass, and of their gradients after the backward pass (nn/working_weights.h). A list is one operator, on a
// GPU a few launches.
//
//   target[r, ..] = source[r, ..] scale[r]      with accumulate: +=
//
// r counts along the first dimension; source and target have one shape, scale [R] may be undefined: 1. On CUDA devices
// source and target are f32 or bf16 each, products and sums f32, rounded once; on the CPU both are f32 or both f64.
#pragma once

#include <span>

#include "ops/kernel_table.h"

namespace tessera::ops {

struct ScaledRows {
  Tensor target, source, scale = {};
  bool accumulate = false;
};
void scale_rows(std::span<ScaledRows> list);

// first: the first entry's target, which tells the device.
using ScaleRowsKernel = void(std::span<ScaledRows> list, Tensor& first);
inline constinit KernelTable<ScaleRowsKernel> scale_rows_kernels{"scale_rows"};

}  // namespace tessera::ops
