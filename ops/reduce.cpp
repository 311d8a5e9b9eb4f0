#include "ops/reduce.h"

#include <cmath>

#include "ops/checks.h"
#include "ops/pointwise.h"

namespace tessera::ops {

namespace {

struct Reduced {
  bool at[Shape::kMaxRank] = {};
};

Reduced reduced_dims(const Shape& shape, const std::vector<int>& dims, const char* op) {
  Reduced reduced;
  for (int dim : dims) {
    bool& here = reduced.at[shape.axis(dim, op)];
    TESSERA_CHECK(!here, "{}: dimension {} of {} is listed twice", op, dim, shape);
    here = true;
  }
  if (dims.empty()) std::fill_n(reduced.at, shape.rank(), true);
  return reduced;
}

Shape shape_after(const Shape& shape, const Reduced& reduced, bool keepdim) {
  Shape result;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!reduced.at[i]) {
      result.append(shape[i]);
    } else if (keepdim) {
      result.append(1);
    }
  }
  return result;
}

// Neighbouring reduced dimensions are one; groups of them are summed one after the other, the last first.
Tensor scaled_sum(const Tensor& x, const Reduced& reduced, double scale) {
  Tensor y = x;
  bool scaled = false;
  for (int last = x.rank() - 1; last >= 0; --last) {
    if (!reduced.at[last]) continue;
    int first = last;
    while (first > 0 && reduced.at[first - 1]) --first;
    const ReduceDims dims{y.shape().numel(0, first), y.shape().numel(first, last + 1),
                          y.shape().numel(last + 1, y.rank())};
    Shape shape = y.shape();
    for (int i = first; i <= last; ++i) shape[i] = 1;
    Tensor sums = Tensor::empty(shape, y.dtype(), y.device());
    sum_kernels(dims, scaled ? 1 : scale, y, sums);
    scaled = true;
    y = sums;
    last = first;
  }
  return scaled ? y : mul_scalar(y, scale);  // rank 0: nothing to reduce, but the result has memory of its own
}

}  // namespace

ReduceDims reduce_dims(const Shape& shape, int dim, const char* op) {
  const int axis = shape.axis(dim, op);
  return {shape.numel(0, axis), shape[axis], shape.numel(axis + 1, shape.rank())};
}

Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  check_input("sum", x);
  const Reduced reduced = reduced_dims(x.shape(), dims, "sum");
  return scaled_sum(x, reduced, 1).reshape(shape_after(x.shape(), reduced, keepdim));
}

Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  check_input("mean", x);
  const Reduced reduced = reduced_dims(x.shape(), dims, "mean");
  i64 count = 1;
  for (int i = 0; i < x.rank(); ++i) count *= reduced.at[i] ? x.dim(i) : 1;
  TESSERA_CHECK(count > 0, "mean: nothing to average, the reduced dimensions of {} are empty", x.shape());
  return scaled_sum(x, reduced, 1 / static_cast<double>(count)).reshape(shape_after(x.shape(), reduced, keepdim));
}

Tensor sum_to(const Tensor& gradient, const Shape& shape) {
  if (gradient.shape() == shape) return gradient;
  check_input("sum_to", gradient);
  TESSERA_CHECK(broadcast_shape(gradient.shape(), shape, "sum_to") == gradient.shape(),
                "sum_to: {} is not broadcast from {}", gradient.shape(), shape);
  const int added = gradient.rank() - shape.rank();
  Reduced reduced;
  for (int i = 0; i < gradient.rank(); ++i)
    reduced.at[i] = i < added || (shape[i - added] == 1 && gradient.dim(i) != 1);
  return scaled_sum(gradient, reduced, 1).reshape(shape);
}

MaxResult max(const Tensor& x, int dim, bool keepdim) {
  check_input("max", x);
  const ReduceDims dims = reduce_dims(x.shape(), dim, "max");
  TESSERA_CHECK(dims.count > 0, "max: dimension {} of {} is empty, there is no largest value", dim, x.shape());
  Reduced reduced;
  reduced.at[x.shape().axis(dim, "max")] = true;
  const Shape shape = shape_after(x.shape(), reduced, keepdim);
  MaxResult result{Tensor::empty(shape, x.dtype(), x.device()), Tensor::empty(shape, DType::kI64, x.device())};
  max_kernels(dims, x, result.values, result.indices);
  return result;
}

Tensor max_backward(const Tensor& gy, const Tensor& indices, const Shape& x_shape, int dim) {
  check_input("max_backward", gy);
  const ReduceDims dims = reduce_dims(x_shape, dim, "max_backward");
  TESSERA_CHECK(
      gy.numel() == dims.outer * dims.inner && indices.numel() == gy.numel() && indices.dtype() == DType::kI64,
      "max_backward: gradient {} and {} indices {} do not belong to dimension {} of {}", gy.shape(),
      name_of(indices.dtype()), indices.shape(), dim, x_shape);
  Tensor gx = Tensor::zeros(x_shape, gy.dtype(), gy.device());
  max_backward_kernels(dims, gy, indices, gx);
  return gx;
}

Tensor argmax(const Tensor& x) {
  return max(x, -1).indices;
}

Tensor sum_of_squares(std::span<const Tensor> xs) {
  for (const Tensor& x : xs) {
    check_input("sum_of_squares", x, is_compute_float);
    TESSERA_CHECK(x.device() == xs[0].device(), "sum_of_squares: one tensor lies on {}, another on {}", xs[0].device(),
                  x.device());
  }
  Tensor sum = Tensor::empty({1}, DType::kF64, xs.empty() ? Device{} : xs[0].device());
  sum_of_squares_kernels(xs, sum);
  return sum;
}
Tensor sum_of_squares(const Tensor& x) {
  return sum_of_squares(std::span(&x, 1));
}

Tensor mark_non_finite(const Tensor& x) {
  check_input("mark_non_finite", x, is_compute_float);
  TESSERA_CHECK(x.rank() >= 1, "mark_non_finite: rows are needed, got shape {}", x.shape());
  Tensor marks = Tensor::zeros({x.dim(0)}, x.dtype(), x.device());
  mark_non_finite_kernels(x, marks);
  return marks;
}

bool all_finite(const Tensor& x) {
  check_input("all_finite", x, is_compute_float);
  return std::isfinite(mark_non_finite(x.reshape({1, x.numel()})).item());
}

}  // namespace tessera::ops
