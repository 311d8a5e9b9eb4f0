// Sorting along the last dimension, stable: equal values keep their order. NaN counts as larger than everything and as
// equal to NaN; -0 equals 0. f32 and f64. As PyTorch's sort with stable=True.
//
// x [..., K] -> values [..., K] and indices, i64 [..., K], with values[..., j] = x[..., indices[..., j]]. The gradient
// goes back to the positions that the values came from: top_k_backward (ops/arrange.h) with k = K.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

struct SortResult {
  Tensor values, indices;
};
inline constinit KernelTable<void(const Tensor& x, bool descending, Tensor& values, Tensor& indices)> sort_kernels{
    "sort"};
SortResult sort(const Tensor& x, bool descending);

}  // namespace tessera::ops
