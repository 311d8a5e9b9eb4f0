#include "autograd/reduce.h"

#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera {

namespace {

// The shape of the reduced gradient with the reduced dimensions kept, so that it broadcasts back to x.
Shape kept_shape(const Shape& x, const std::vector<int>& dims, const char* op) {
  Shape shape = x;
  for (int dim : dims) shape[shape.axis(dim, op)] = 1;
  if (dims.empty())
    for (int i = 0; i < shape.rank(); ++i) shape[i] = 1;
  return shape;
}

}  // namespace

Var sum(const Var& x, const std::vector<int>& dims, bool keepdim) {
  return record("sum", ops::sum(x.value(), dims, keepdim), {x},
                [shape = x.shape(), kept = kept_shape(x.shape(), dims, "sum")](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::broadcast_to(gy.reshape(kept), shape));
                });
}

Var mean(const Var& x, const std::vector<int>& dims, bool keepdim) {
  return record(
      "mean", ops::mean(x.value(), dims, keepdim), {x},
      [shape = x.shape(), kept = kept_shape(x.shape(), dims, "mean")](const Tensor& gy, Gradients& gradients) {
        const double share = static_cast<double>(kept.numel()) / static_cast<double>(shape.numel());
        gradients.add(0, ops::broadcast_to(ops::mul_scalar(gy, share).reshape(kept), shape));
      });
}

Var max(const Var& x, int dim, bool keepdim) {
  ops::MaxResult y = ops::max(x.value(), dim, keepdim);
  return record("max", y.values, {x},
                [indices = y.indices, shape = x.shape(), dim](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::max_backward(gy, indices, shape, dim));
                });
}

}  // namespace tessera
