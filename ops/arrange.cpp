#include "ops/arrange.h"

#include <utility>

#include "ops/checks.h"

namespace tessera::ops {

namespace {

void check_defined(const Tensor& x, const char* op) {
  TESSERA_CHECK(x.defined(), "{}: the input is undefined", op);
}

void check_rows(const Tensor& x, const Tensor& rows, const char* op) {
  TESSERA_CHECK(rows.defined() && rows.rank() == 1 && rows.dtype() == DType::kI64,
                "{}: row indices must be i64 of rank 1, got {} {}", op, name_of(rows.dtype()), rows.shape());
  TESSERA_CHECK(x.rank() >= 1, "{}: a tensor of rows is needed, got {}", op, x.shape());
}

SliceDims slice_dims(const Shape& whole, int axis, i64 begin, i64 count) {
  return {whole.numel(0, axis), whole[axis], begin, count, whole.numel(axis + 1, whole.rank())};
}

Shape with_size(Shape shape, int axis, i64 size) {
  shape[axis] = size;
  return shape;
}

}  // namespace

Tensor slice(const Tensor& x, int dim, i64 begin, i64 end) {
  check_defined(x, "slice");
  const int axis = x.shape().axis(dim, "slice");
  TESSERA_CHECK(0 <= begin && begin <= end && end <= x.dim(axis), "slice: range [{}, {}) is outside dimension {} of {}",
                begin, end, dim, x.shape());
  if (axis == 0) return x.rows(begin, end);
  Tensor y = Tensor::empty(with_size(x.shape(), axis, end - begin), x.dtype(), x.device());
  slice_kernels(slice_dims(x.shape(), axis, begin, end - begin), x, y);
  return y;
}

void slice_into(const Tensor& part, Tensor& whole, int dim, i64 begin) {
  check_defined(part, "slice_into");
  check_defined(whole, "slice_into");
  const int axis = whole.shape().axis(dim, "slice_into");
  TESSERA_CHECK(part.rank() == whole.rank() && part.dtype() == whole.dtype() &&
                    part.shape() == with_size(whole.shape(), axis, part.dim(axis)),
                "slice_into: {} {} does not fit into {} {} along dimension {}", name_of(part.dtype()), part.shape(),
                name_of(whole.dtype()), whole.shape(), dim);
  TESSERA_CHECK(0 <= begin && begin + part.dim(axis) <= whole.dim(axis),
                "slice_into: {} at {} reaches beyond dimension {} of {}", part.shape(), begin, dim, whole.shape());
  slice_into_kernels(slice_dims(whole.shape(), axis, begin, part.dim(axis)), part, whole);
}

Tensor slice_backward(const Tensor& gy, const Shape& x_shape, int dim, i64 begin) {
  Tensor gx = Tensor::zeros(x_shape, gy.dtype(), gy.device());
  slice_into(gy, gx, dim, begin);
  return gx;
}

Tensor concat(const std::vector<Tensor>& parts, int dim) {
  TESSERA_CHECK(!parts.empty(), "concat: no parts");
  for (const Tensor& part : parts) check_defined(part, "concat");
  const Tensor& first = parts.front();
  const int axis = first.shape().axis(dim, "concat");
  i64 total = 0;
  for (const Tensor& part : parts) {
    TESSERA_CHECK(part.rank() == first.rank() && part.shape() == with_size(first.shape(), axis, part.dim(axis)),
                  "concat: shapes {} and {} differ in more than dimension {}", first.shape(), part.shape(), dim);
    TESSERA_CHECK(part.dtype() == first.dtype(), "concat: dtypes {} and {} differ; convert one with to()",
                  name_of(first.dtype()), name_of(part.dtype()));
    total += part.dim(axis);
  }
  Tensor whole = Tensor::empty(with_size(first.shape(), axis, total), first.dtype(), first.device());
  i64 begin = 0;
  for (const Tensor& part : parts) {
    slice_into_kernels(slice_dims(whole.shape(), axis, begin, part.dim(axis)), part, whole);
    begin += part.dim(axis);
  }
  return whole;
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  check_defined(x, "permute");
  bool seen[Shape::kMaxRank] = {};
  bool valid = static_cast<int>(order.size()) == x.rank();
  for (int from : order) valid = valid && 0 <= from && from < x.rank() && !std::exchange(seen[from], true);
  TESSERA_CHECK(valid, "permute: [{}] is not an order of the dimensions of {}", fmt::join(order, ", "), x.shape());

  Shape shape;
  PermuteDims dims;
  for (int from : order) {
    const i64 size = x.dim(from), step = x.shape().numel(from + 1, x.rank());
    shape.append(size);
    if (size == 1) continue;
    const int last = dims.rank - 1;
    if (last >= 0 && dims.step[last] == size * step) {  // walks on where the dimension before it ends
      dims.size[last] *= size;
      dims.step[last] = step;
      continue;
    }
    dims.size[dims.rank] = size;
    dims.step[dims.rank++] = step;
  }
  if (dims.rank <= 1) return x.reshape(shape).clone();  // nothing moves
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  permute_kernels(dims, x, y);
  return y;
}

std::vector<int> inverse_order(const std::vector<int>& order) {
  std::vector<int> inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i) inverse.at(static_cast<size_t>(order[i])) = static_cast<int>(i);
  return inverse;
}

Tensor gather_rows(const Tensor& x, const Tensor& rows) {
  check_defined(x, "gather_rows");
  check_rows(x, rows, "gather_rows");
  Tensor y = Tensor::empty(with_size(x.shape(), 0, rows.numel()), x.dtype(), x.device());
  gather_rows_kernels(x, rows, y);
  return y;
}

Tensor flat_rows(const Tensor& indices, i64 size) {
  TESSERA_CHECK(indices.defined() && indices.rank() == 2 && indices.dtype() == DType::kI64,
                "flat_rows: indices must be i64 [R, K], got {} {}",
                indices.defined() ? name_of(indices.dtype()) : "undefined", indices.shape());
  Tensor rows = Tensor::empty({indices.numel()}, DType::kI64, indices.device());
  flat_rows_kernels(indices, size, rows);
  return rows;
}

Tensor scatter_add_rows(const Tensor& x, const Tensor& rows, i64 count) {
  check_input("scatter_add_rows", x);
  check_rows(x, rows, "scatter_add_rows");
  TESSERA_CHECK(x.dim(0) == rows.numel() && count >= 0, "scatter_add_rows: {} has {} rows for {} indices into {} rows",
                x.shape(), x.dim(0), rows.numel(), count);
  Tensor y = Tensor::zeros(with_size(x.shape(), 0, count), x.dtype(), x.device());
  scatter_add_rows_kernels(x, rows, y);
  return y;
}

TopKResult top_k(const Tensor& x, i64 k) {
  check_input("top_k", x, is_compute_float);
  TESSERA_CHECK(x.rank() >= 1 && 0 <= k && k <= x.dim(-1), "top_k: k = {} of the last dimension of {}", k, x.shape());
  const Shape shape = with_size(x.shape(), x.rank() - 1, k);
  TopKResult result{Tensor::empty(shape, x.dtype(), x.device()), Tensor::empty(shape, DType::kI64, x.device())};
  top_k_kernels(x, result.values, result.indices);
  return result;
}

Tensor top_k_backward(const Tensor& gy, const Tensor& indices, const Shape& x_shape) {
  check_input("top_k_backward", gy, is_compute_float);
  TESSERA_CHECK(gy.shape() == indices.shape() && indices.dtype() == DType::kI64 && gy.rank() == x_shape.rank() &&
                    gy.rank() >= 1 && gy.shape() == with_size(x_shape, gy.rank() - 1, gy.dim(-1)),
                "top_k_backward: gradient {} and {} indices {} do not belong to {}", gy.shape(),
                name_of(indices.dtype()), indices.shape(), x_shape);
  Tensor gx = Tensor::zeros(x_shape, gy.dtype(), gy.device());
  top_k_backward_kernels(gy, indices, gx);
  return gx;
}

}  // namespace tessera::ops
