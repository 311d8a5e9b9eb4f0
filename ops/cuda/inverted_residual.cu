// The inverted residual in CUDA: its three packed convolutions. The wide maps between them are written and read once
// each; the cache of a large GPU holds those of one picture.
#include "ops/inverted_residual.h"
#include "tensor/cuda/runtime.h"

namespace tessera {

[[maybe_unused]] static const bool kAdded =
    ops::inverted_residual_packed_kernels.add(cuda::kDevice, ops::inverted_residual_in_turn);

}  // namespace tessera
