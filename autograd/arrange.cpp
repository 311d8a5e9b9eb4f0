#include "autograd/arrange.h"

#include "ops/arrange.h"

namespace tessera {

Var reshape(const Var& x, const Shape& shape) {
  return record("reshape", x.value().reshape(shape), {x},
                [shape = x.shape()](const Tensor& gy, Gradients& gradients) { gradients.add(0, gy.reshape(shape)); });
}

Var concat(const std::vector<Var>& parts, int dim) {
  std::vector<Tensor> values;
  for (const Var& part : parts) values.push_back(part.value());
  Tensor y = ops::concat(values, dim);
  std::vector<i64> sizes;
  for (const Tensor& value : values) sizes.push_back(value.dim(dim));
  return record("concat", y, parts, [sizes, dim](const Tensor& gy, Gradients& gradients) {
    i64 begin = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const int input = static_cast<int>(i);
      if (gradients.needs(input)) gradients.add(input, ops::slice(gy, dim, begin, begin + sizes[i]));
      begin += sizes[i];
    }
  });
}

Var slice(const Var& x, int dim, i64 begin, i64 end) {
  return record("slice", ops::slice(x.value(), dim, begin, end), {x},
                [shape = x.shape(), dim, begin](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::slice_backward(gy, shape, dim, begin));
                });
}

Var permute(const Var& x, const std::vector<int>& order) {
  return record("permute", ops::permute(x.value(), order), {x},
                [back = ops::inverse_order(order)](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::permute(gy, back));
                });
}

Var gather_rows(const Var& x, const Tensor& rows) {
  return record("gather_rows", ops::gather_rows(x.value(), rows), {x},
                [rows, count = x.dim(0)](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::scatter_add_rows(gy, rows, count));
                });
}

Var scatter_add_rows(const Var& x, const Tensor& rows, i64 count) {
  return record("scatter_add_rows", ops::scatter_add_rows(x.value(), rows, count), {x},
                [rows](const Tensor& gy, Gradients& gradients) { gradients.add(0, ops::gather_rows(gy, rows)); });
}

TopK top_k(const Var& x, i64 k) {
  ops::TopKResult top = ops::top_k(x.value(), k);
  const Var values = record("top_k", top.values, {x},
                            [indices = top.indices, shape = x.shape()](const Tensor& gy, Gradients& gradients) {
                              gradients.add(0, ops::top_k_backward(gy, indices, shape));
                            });
  return {values, top.indices};
}

}  // namespace tessera
