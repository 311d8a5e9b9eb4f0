// Element access for naive references: at(x, n, h, w, c) of an f64 tensor, bounds-checked.
#pragma once

#include "tensor/tensor.h"

namespace tessera::test {

template <class... I>
i64 offset_of(const Tensor& x, I... position) {
  TESSERA_CHECK(x.rank() == static_cast<int>(sizeof...(I)), "naive: {} indices for {}", sizeof...(I), x.shape());
  i64 offset = 0;
  int dim = 0;
  for (const i64 index : {static_cast<i64>(position)...}) {
    TESSERA_CHECK(index >= 0 && index < x.dim(dim), "naive: index {} of dimension {} in {}", index, dim, x.shape());
    offset = offset * x.dim(dim++) + index;
  }
  return offset;
}

template <class... I>
double at(const Tensor& x, I... position) {
  return x.data<double>()[offset_of(x, position...)];
}

template <class... I>
double& at(Tensor& x, I... position) {
  return x.data<double>()[offset_of(x, position...)];
}

}  // namespace tessera::test
