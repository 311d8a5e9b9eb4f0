// Elementary functions that several CUDA kernels share.
#pragma once

#include <cmath>

#include "tensor/cuda/launch.h"

namespace tessera::cuda {

// 1 / (1 + e^-x)
__device__ inline float sigmoid_of(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

}  // namespace tessera::cuda
