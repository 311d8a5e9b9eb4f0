// How the CPU kernels read SPS features: where the row of an id begins.
#pragma once

#include "tensor/tensor.h"

namespace tessera::cpu {

template <class T>
struct SpsFeatures {
  const T *active, *passive;
  i64 active_rows, rows, width;  // id `rows` is the zero row
  Tensor zeros;

  SpsFeatures(const Tensor& a, const Tensor& p)
      : active(a.data<T>()),
        passive(p.data<T>()),
        active_rows(a.dim(0)),
        rows(a.dim(0) + p.dim(0)),
        width(a.dim(1)),
        zeros(Tensor::zeros({a.dim(1)}, a.dtype())) {}

  const T* at(i64 id) const {
    if (id < active_rows) return active + id * width;
    return id < rows ? passive + (id - active_rows) * width : zeros.data<T>();
  }
};

}  // namespace tessera::cpu
