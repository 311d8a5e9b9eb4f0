// For tests: what the emulated machine has, and what fails on it.
#pragma once

#include <cstddef>

#include "tensor/cuda/emulated/cuda_runtime.h"

namespace tessera::emulated {

// More than a request may ask for. A device with so much has no limit of its own and says that SIZE_MAX bytes are free.
inline constexpr size_t kUnlimited = size_t{1} << 40;

struct Machine {
  int devices = 1;
  cudaError_t count_status = cudaSuccess;  // cudaErrorInsufficientDriver: as without a driver
  size_t memory = kUnlimited;              // bytes of one device; what is larger is cudaErrorMemoryAllocation
  bool no_convolutions = false;            // of the library: it refuses all,
  bool bare_convolutions = false;          // or those with a bias, a residual or a ReLU
};

Machine& machine();

}  // namespace tessera::emulated
