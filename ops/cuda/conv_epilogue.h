// What follows a convolution's sum in the handwritten kernels: y = act(sum + bias + residual).
#pragma once

#include "ops/conv2d.h"
#include "ops/cuda/storage.h"

namespace tessera::cuda {

template <class T>
struct ConvEpilogue {
  const T *bias, *residual;  // [Co] and y's shape, or null
  ops::Activation activation;

  // The element `at` of y, of channel c. NaN passes.
  __device__ float operator()(float sum, i64 at, i64 c) const {
    if (bias) sum += load(bias + c);
    if (residual) sum += load(residual + at);
    if (activation != ops::Activation::kNone && sum < 0) return 0;
    return activation == ops::Activation::kRelu6 && sum > 6 ? 6.0f : sum;
  }
};

}  // namespace tessera::cuda
