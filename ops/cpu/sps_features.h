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

// Ids of taps that no structure made must not lead outside the features.
inline void check_sps_ids(const char* op, const Tensor& ids, i64 rows) {
  bool fit = true;
  for (const i32 id : ids.span<i32>()) fit &= static_cast<u32>(id) <= static_cast<u32>(rows);
  TESSERA_CHECK(fit, "{}: the neighbours were made for more than {} rows", op, rows);
}

}  // namespace tessera::cpu
