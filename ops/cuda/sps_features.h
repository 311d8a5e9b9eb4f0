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

  i64 values() const { return rows * width; }

  // Null for the zero row, and for an id that is no row.
  __device__ const T* at(i64 id) const {
    if (id < 0 || id >= rows) return nullptr;
    return id < active_rows ? active + id * width : passive + (id - active_rows) * width;
  }
  // The same, from the row's value `begin` on, for features whose values an int can count.
  __device__ const T* at(int id, int begin) const {
    const int own = static_cast<int>(active_rows), columns = static_cast<int>(width);
    if (static_cast<u32>(id) >= static_cast<u32>(rows)) return nullptr;
    return (id < own ? active : passive) + ((id < own ? id : id - own) * columns + begin);
  }
};

}  // namespace tessera::cuda
