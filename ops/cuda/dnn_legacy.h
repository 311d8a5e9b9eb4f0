// The same convolutions through cuDNN's older interface, for what its graphs do not take. As in ops/cuda/dnn.h, on the
// handle's stream; a residual or a ReLU comes with a bias.
#pragma once

#include "ops/cuda/dnn_graph.h"

namespace tessera::cuda {

inline constexpr i64 kMostWorkspace = i64{512} << 20;  // bytes that a convolution may use beside its operands

bool legacy_conv2d(cudnnHandle_t handle, const ops::Conv2dDims& dims, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, const Tensor& residual, bool relu, Tensor& y);
bool legacy_conv2d_backward_input(cudnnHandle_t handle, const ops::Conv2dDims& dims, const Tensor& gy,
                                  const Tensor& weight, Tensor& gx);
bool legacy_conv2d_backward_weight(cudnnHandle_t handle, const ops::Conv2dDims& dims, const Tensor& gy, const Tensor& x,
                                   Tensor& gw);

}  // namespace tessera::cuda
