// The dense and grouped convolutions that CUDA operators are built on (formulas in ops/conv2d.h), f32 or bf16, NHWC. On
// a GPU cuDNN computes them, f32 at the precision that is set (ops/precision.h: f32 products at "highest", TF32 at
// "high" and "medium"), bf16 with sums in f32, with deterministic algorithms only; on the emulated device the CPU's
// kernels.
//
// Each returns whether it did: cuDNN does not take every size (2^31 elements, very wide padding), and some only without
// what follows the sum. What it leaves is for ops/cuda/conv2d.cu. No tensor is empty.
#pragma once

#include "ops/conv2d.h"

namespace tessera::cuda {

// y = conv(x) + bias + residual, then ReLU if asked for; bias and residual may be undefined.
bool dense_conv2d(const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, bool relu, Tensor& y);
bool dense_conv2d_backward_input(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx);
bool dense_conv2d_backward_weight(const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw);

}  // namespace tessera::cuda
