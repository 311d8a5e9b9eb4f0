// The CUDA runtime, the real one or the emulated one, and what every use of it needs: the stream, the check of errors.
#pragma once

#ifdef TESSERA_CUDA_EMULATED
#include "tensor/cuda/emulated/cuda_runtime.h"
#else
#include <cuda_runtime.h>
#endif

#include "tensor/device.h"

namespace tessera::cuda {

// The device that the .cu files of this build register their kernels for.
#ifdef TESSERA_CUDA_EMULATED
inline constexpr DeviceKind kDevice = DeviceKind::kCudaEmulated;
#else
inline constexpr DeviceKind kDevice = DeviceKind::kCuda;
#endif

void make_current(int index);  // the GPU of this thread's calls

// All work of a device runs on one stream, in order; this is the current device's. Within a branch
// (tensor/device_branch.h) it is the branch's.
cudaStream_t stream();

// Throws, naming the operator that runs, `what` (a kernel or a call) and CUDA's reason.
void check(cudaError_t status, const char* what);

// TESSERA_CUDA_SYNC=1 in the environment: wait after each launch, so that an error is reported by the kernel that
// made it. Not while a graph is recorded.
bool synchronous();

}  // namespace tessera::cuda
