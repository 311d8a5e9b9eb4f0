// Which element types an operator takes. Activations are f32; on the CPU also f64, on CUDA also bf16: those of training
// in mixed precision (docs/precision.md). A kernel sums in f32 what it reads in bf16.
#pragma once

#include "tensor/dtype.h"

namespace tessera::ops {

// For operators with bf16 kernels. A device that has none says so when its kernel is called.
inline bool is_activation(DType dtype) {
  return is_compute_float(dtype) || dtype == DType::kBF16;
}

// For errors: "use f32 or f64", and of operators with bf16 kernels what is true of them.
inline const char* types_taken(bool (&takes)(DType)) {
  return takes(DType::kBF16) ? "f32, f64 (on the CPU) or bf16 (on CUDA devices)" : "f32 or f64";
}

// The type of parameters, statistics and sums that belong to activations of type `dtype`.
inline DType parameter_dtype(DType dtype) {
  return dtype == DType::kBF16 ? DType::kF32 : dtype;
}

}  // namespace tessera::ops
