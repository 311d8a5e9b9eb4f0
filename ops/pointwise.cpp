#include "ops/pointwise.h"

#include <algorithm>

#include "ops/checks.h"

namespace tessera::ops {

namespace {

void check_pair(const Tensor& a, const Tensor& b, const char* op) {
  check_input(op, a);
  check_input(op, b);
  TESSERA_CHECK(a.dtype() == b.dtype(), "{}: dtypes differ, {} {} and {} {}; convert one with to()", op, a.shape(),
                name_of(a.dtype()), b.shape(), name_of(b.dtype()));
}

void check_same_shape(const Tensor& a, const Tensor& b, const char* op) {
  check_pair(a, b, op);
  TESSERA_CHECK(a.shape() == b.shape(), "{}: shapes {} and {} differ", op, a.shape(), b.shape());
}

// Size of `shape` at dimension i of a shape of `rank` dimensions, aligned at the end; 1 where it has none.
i64 aligned_size(const Shape& shape, int rank, int i) {
  const int position = i - (rank - shape.rank());
  return position < 0 ? 1 : shape[position];
}

// The dimensions of y with the steps of a and b, neighbours merged where both walk on without a jump.
BroadcastDims merge(const Shape& y, const Shape& a, const Shape& b) {
  BroadcastDims all;
  i64 run_a = 1, run_b = 1;
  for (int i = y.rank() - 1; i >= 0; --i) {  // from the last dimension, the first of `all`
    const i64 size = y[i], size_a = aligned_size(a, y.rank(), i), size_b = aligned_size(b, y.rank(), i);
    const i64 step_a = size_a == 1 ? 0 : run_a, step_b = size_b == 1 ? 0 : run_b;
    run_a *= size_a;
    run_b *= size_b;
    if (size == 1) continue;
    const int last = all.rank - 1;
    if (last >= 0 && step_a == all.step_a[last] * all.size[last] && step_b == all.step_b[last] * all.size[last]) {
      all.size[last] *= size;
      continue;
    }
    all.size[all.rank] = size;
    all.step_a[all.rank] = step_a;
    all.step_b[all.rank] = step_b;
    ++all.rank;
  }
  if (all.rank == 0) all.size[all.rank++] = 1;
  std::reverse(all.size, all.size + all.rank);
  std::reverse(all.step_a, all.step_a + all.rank);
  std::reverse(all.step_b, all.step_b + all.rank);
  return all;
}

}  // namespace

Tensor unary(const UnaryTable& kernels, const Tensor& x) {
  check_input(kernels.name(), x);
  Tensor y = empty_like(x);
  kernels(x, y);
  return y;
}

Tensor unary_backward(const UnaryBackwardTable& kernels, const Tensor& gy, const Tensor& x_or_y) {
  check_same_shape(gy, x_or_y, kernels.name());
  Tensor gx = empty_like(gy);
  kernels(gy, x_or_y, gx);
  return gx;
}

Tensor unary_scalar(const UnaryScalarTable& kernels, const Tensor& x, double value) {
  check_input(kernels.name(), x);
  Tensor y = empty_like(x);
  kernels(x, value, y);
  return y;
}

Tensor binary(const BinaryTable& kernels, const Tensor& a, const Tensor& b) {
  check_pair(a, b, kernels.name());
  Tensor y = Tensor::empty(broadcast_shape(a.shape(), b.shape(), kernels.name()), a.dtype(), a.device());
  kernels(merge(y.shape(), a.shape(), b.shape()), a, b, y);
  return y;
}

Shape broadcast_shape(const Shape& a, const Shape& b, const char* op) {
  const int rank = std::max(a.rank(), b.rank());
  Shape shape;
  for (int i = 0; i < rank; ++i) {
    const i64 size_a = aligned_size(a, rank, i), size_b = aligned_size(b, rank, i);
    TESSERA_CHECK(size_a == size_b || size_a == 1 || size_b == 1,
                  "{}: shapes {} and {} do not broadcast; aligned at the last dimension, sizes must be equal or 1", op,
                  a, b);
    shape.append(size_a == 1 ? size_b : size_a);
  }
  return shape;
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  check_input("broadcast_to", x);
  TESSERA_CHECK(broadcast_shape(x.shape(), shape, "broadcast_to") == shape, "broadcast_to: {} cannot be repeated to {}",
                x.shape(), shape);
  if (x.shape() == shape) return x;
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  broadcast_to_kernels(merge(shape, x.shape(), shape), x, y);
  return y;
}

void add_into(Tensor& target, const Tensor& term) {
  check_same_shape(target, term, "add_into");
  add_into_kernels(term, target);
}

Tensor add_relu(const Tensor& a, const Tensor& b) {
  check_same_shape(a, b, "add_relu");
  return binary<scalar::AddRelu>(a, b);
}

Tensor clamp_min_backward(const Tensor& gy, const Tensor& x, double lowest) {
  check_same_shape(gy, x, "clamp_min_backward");
  Tensor gx = empty_like(gy);
  clamp_min_backward_kernels(gy, x, lowest, gx);
  return gx;
}

Tensor greater_equal(const Tensor& x, double value) {
  check_input("greater_equal", x);
  Tensor y = Tensor::empty(x.shape(), DType::kU8, x.device());
  greater_equal_kernels(x, value, y);
  return y;
}

}  // namespace tessera::ops
