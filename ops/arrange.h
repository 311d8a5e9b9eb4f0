// Operators that move elements without computing: concat, slice, permute, gather, scatter-add; and top-k, which picks
// them. Those that only copy take any dtype, the others f32 and f64, scatter_add_rows also bf16. Row indices are i64.
// One outside the tensor is an error on the CPU; on other devices, where the host does not see it, zeros are read and
// nothing is written there.
#pragma once

#include <vector>

#include "ops/kernel_table.h"

namespace tessera::ops {

// A range of one dimension: whole [outer, size, inner], part [outer, count, inner] = whole[:, begin : begin + count].
struct SliceDims {
  i64 outer = 1, size = 1, begin = 0, count = 1, inner = 1;
};

// Elements [begin, end) of one dimension: copied, or of the first dimension a view of the same memory.
inline constinit KernelTable<void(const SliceDims& dims, const Tensor& whole, Tensor& part)> slice_kernels{"slice"};
Tensor slice(const Tensor& x, int dim, i64 begin, i64 end);

// Writes `part` into `whole` at position `begin` of one dimension; the other sizes agree.
inline constinit KernelTable<void(const SliceDims& dims, const Tensor& part, Tensor& whole)> slice_into_kernels{
    "slice_into"};
void slice_into(const Tensor& part, Tensor& whole, int dim, i64 begin);

// gy in a tensor of zeros of shape x_shape
Tensor slice_backward(const Tensor& gy, const Shape& x_shape, int dim, i64 begin);

// Parts of equal sizes but for `dim`, one after the other along it.
Tensor concat(const std::vector<Tensor>& parts, int dim);

// sizes of y and the steps in x that walk them, neighbours that stay together merged
struct PermuteDims {
  int rank = 0;
  i64 size[Shape::kMaxRank] = {}, step[Shape::kMaxRank] = {};
};

// y.dim(i) = x.dim(order[i]); order is a permutation of 0 .. rank - 1
inline constinit KernelTable<void(const PermuteDims& dims, const Tensor& x, Tensor& y)> permute_kernels{"permute"};
Tensor permute(const Tensor& x, const std::vector<int>& order);
std::vector<int> inverse_order(const std::vector<int>& order);

// y[k] = x[rows[k]]; x [R, ...], rows i64 [K] -> [K, ...]; rows may repeat
inline constinit KernelTable<void(const Tensor& x, const Tensor& rows, Tensor& y)> gather_rows_kernels{"gather_rows"};
Tensor gather_rows(const Tensor& x, const Tensor& rows);

// Positions in each of R parts of `size` rows as rows of the whole: y[r K + k] = r size + indices[r, k]; i64 [R, K] ->
// [R K]. A position outside [0, size) is an error on the CPU, on other devices -1.
inline constinit KernelTable<void(const Tensor& indices, i64 size, Tensor& rows)> flat_rows_kernels{"flat_rows"};
Tensor flat_rows(const Tensor& indices, i64 size);

// y = 0; y[rows[k]] += x[k] for k ascending; x [K, ...], rows i64 [K] -> [count, ...]
inline constinit KernelTable<void(const Tensor& x, const Tensor& rows, Tensor& y)> scatter_add_rows_kernels{
    "scatter_add_rows"};
Tensor scatter_add_rows(const Tensor& x, const Tensor& rows, i64 count);

// The k largest values along the last dimension, descending, and their positions (i64); among equal values the lowest
// position first. NaN is an error on the CPU: it has no place in an order; on other devices it stands first.
struct TopKResult {
  Tensor values, indices;  // [..., k]
};
inline constinit KernelTable<void(const Tensor& x, Tensor& values, Tensor& indices)> top_k_kernels{"top_k"};
TopKResult top_k(const Tensor& x, i64 k);

// gx of shape x_shape: zero but for gy at the chosen positions
inline constinit KernelTable<void(const Tensor& gy, const Tensor& indices, Tensor& gx)> top_k_backward_kernels{
    "top_k_backward"};
Tensor top_k_backward(const Tensor& gy, const Tensor& indices, const Shape& x_shape);

}  // namespace tessera::ops
