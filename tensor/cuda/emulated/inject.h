// For tests: what the emulated machine has, and what fails on it.
#pragma once

#include <cstddef>

#include "tensor/cuda/emulated/cuda_runtime.h"

namespace tessera::emulated {

struct Machine {
  int devices = 1;
  cudaError_t count_status = cudaSuccess;  // cudaErrorInsufficientDriver: as without a driver
  size_t memory = size_t{1} << 40;         // bytes of one device; what is larger is cudaErrorMemoryAllocation
};

Machine& machine();

}  // namespace tessera::emulated
