// Reductions.
//
// Dimensions are given as positions, negative ones counted from the end, each at most once; an empty list means all of
// them. keepdim leaves reduced dimensions with size 1. dtypes: f32, f64 and bf16. NaN in gives NaN out.
//
// Sums are taken in blocks of a few hundred elements in the dtype itself, and the block sums in double; the order
// depends on the shape alone, not on the number of threads.
#pragma once

#include <span>
#include <vector>

#include "ops/kernel_table.h"

namespace tessera::ops {

// The shape as [outer, count, inner], of which the middle is reduced.
struct ReduceDims {
  i64 outer = 1, count = 1, inner = 1;
};

// The reduced dimension as the middle one of three; `op` is named in the error.
ReduceDims reduce_dims(const Shape& shape, int dim, const char* op);

// y[o, i] = scale sum_c x[o, c, i]; an empty sum is 0
inline constinit KernelTable<void(const ReduceDims& dims, double scale, const Tensor& x, Tensor& y)> sum_kernels{"sum"};
Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims = {},
            bool keepdim = false);  // the mean of nothing is an error

// The sum that undoes broadcasting: gradient, of a shape that `shape` broadcasts to, summed over the repeated
// dimensions.
Tensor sum_to(const Tensor& gradient, const Shape& shape);

// Largest value along one dimension and the first position (i64) that attains it; NaN counts as larger than everything.
// The maximum of nothing is an error.
struct MaxResult {
  Tensor values, indices;
};
inline constinit KernelTable<void(const ReduceDims& dims, const Tensor& x, Tensor& values, Tensor& indices)>
    max_kernels{"max"};
MaxResult max(const Tensor& x, int dim, bool keepdim = false);

// gx of shape x_shape: zero but for gy at the positions of the maxima; gy and indices with or without the kept
// dimension. An index outside the dimension is an error on the CPU and passed by on other devices.
inline constinit KernelTable<void(const ReduceDims& dims, const Tensor& gy, const Tensor& indices, Tensor& gx)>
    max_backward_kernels{"max_backward"};
Tensor max_backward(const Tensor& gy, const Tensor& indices, const Shape& x_shape, int dim);

// Position (i64) of the largest value along the last dimension, the lowest among equals; [..., C] -> [...]
Tensor argmax(const Tensor& x);

// sum of x_i^2 over all elements of several tensors of one device, in double and in their order, as the norm of all
// gradients needs it -> f64 [1]. Nothing is 0, on the CPU.
inline constinit KernelTable<void(std::span<const Tensor> xs, Tensor& sum)> sum_of_squares_kernels{"sum_of_squares"};
Tensor sum_of_squares(std::span<const Tensor> xs);
Tensor sum_of_squares(const Tensor& x);

// marks[r] = 0 where all of row r is finite, NaN where it is not; x [R, ...] -> [R]. What says so without a wait.
inline constinit KernelTable<void(const Tensor& x, Tensor& marks)> mark_non_finite_kernels{"mark_non_finite"};
Tensor mark_non_finite(const Tensor& x);

// neither NaN nor infinity anywhere; the host waits for the device
bool all_finite(const Tensor& x);

}  // namespace tessera::ops
