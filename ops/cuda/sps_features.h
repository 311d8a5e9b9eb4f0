// How the CUDA kernels read SPS features: where the row of an id begins.
#pragma once

#include "tensor/cuda/launch.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

template <class T>
struct SpsFeatures {
  const T *active, *passive;
  i64 active_rows, rows, width;

  SpsFeatures(const Tensor& a, const Tensor& p)
      : active(a.device_data<T>()),
        passive(p.device_data<T>()),
        active_rows(a.dim(0)),
        rows(a.dim(0) + p.dim(0)),
        width(a.dim(1)) {}

  // Null for the zero row, and for an id that is no row.
  __device__ const T* at(i64 id) const {
    if (id < 0 || id >= rows) return nullptr;
    return id < active_rows ? active + id * width : passive + (id - active_rows) * width;
  }
};

}  // namespace tessera::cuda
