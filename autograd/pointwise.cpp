#include "autograd/pointwise.h"

#include "ops/reduce.h"

namespace tessera {

Var unary(const ops::UnaryTable& kernels, const ops::UnaryBackwardTable& backward, bool from_y, const Var& x) {
  Tensor y = ops::unary(kernels, x.value());
  return record(kernels.name(), y, {x},
                [kept = from_y ? y : x.value(), &backward](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::unary_backward(backward, gy, kept));
                });
}

Var cast(const Var& x, DType dtype) {
  if (x.value().dtype() == dtype) return x;
  return record("cast", x.value().to(dtype), {x}, [from = x.value().dtype()](const Tensor& gy, Gradients& gradients) {
    gradients.add(0, gy.to(from));
  });
}

Var add(const Var& a, const Var& b) {
  return record("add", ops::add(a.value(), b.value()), {a, b},
                [shape_a = a.shape(), shape_b = b.shape()](const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0)) gradients.add(0, ops::sum_to(gy, shape_a));
                  if (gradients.needs(1)) gradients.add(1, ops::sum_to(gy, shape_b));
                });
}

Var sub(const Var& a, const Var& b) {
  return record("sub", ops::sub(a.value(), b.value()), {a, b},
                [shape_a = a.shape(), shape_b = b.shape()](const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0)) gradients.add(0, ops::sum_to(gy, shape_a));
                  if (gradients.needs(1)) gradients.add(1, ops::mul_scalar(ops::sum_to(gy, shape_b), -1));
                });
}

Var mul(const Var& a, const Var& b) {
  const Tensor kept_a = b.requires_grad() ? a.value() : Tensor(), kept_b = a.requires_grad() ? b.value() : Tensor();
  return record("mul", ops::mul(a.value(), b.value()), {a, b},
                [kept_a, kept_b, shape_a = a.shape(), shape_b = b.shape()](const Tensor& gy, Gradients& gradients) {
                  if (gradients.needs(0)) gradients.add(0, ops::sum_to(ops::mul(gy, kept_b), shape_a));
                  if (gradients.needs(1)) gradients.add(1, ops::sum_to(ops::mul(gy, kept_a), shape_b));
                });
}

// d(a/b)/da = 1/b, d(a/b)/db = -(a/b)/b
Var div(const Var& a, const Var& b) {
  Tensor y = ops::div(a.value(), b.value());
  return record("div", y, {a, b}, [y, shape_a = a.shape(), b = b.value()](const Tensor& gy, Gradients& gradients) {
    const Tensor ga = ops::div(gy, b);
    if (gradients.needs(0)) gradients.add(0, ops::sum_to(ga, shape_a));
    if (gradients.needs(1)) gradients.add(1, ops::mul_scalar(ops::sum_to(ops::mul(ga, y), b.shape()), -1));
  });
}

Var add_relu(const Var& a, const Var& b) {
  Tensor y = ops::add_relu(a.value(), b.value());
  return record("add_relu", y, {a, b}, [y](const Tensor& gy, Gradients& gradients) {
    const Tensor g = ops::relu_backward(gy, y);
    gradients.add(0, g);
    gradients.add(1, g);
  });
}

Var add_scalar(const Var& x, double value) {
  return record("add_scalar", ops::add_scalar(x.value(), value), {x},
                [](const Tensor& gy, Gradients& gradients) { gradients.add(0, gy); });
}

Var mul_scalar(const Var& x, double value) {
  return record("mul_scalar", ops::mul_scalar(x.value(), value), {x},
                [value](const Tensor& gy, Gradients& gradients) { gradients.add(0, ops::mul_scalar(gy, value)); });
}

Var clamp_min(const Var& x, double lowest) {
  return record("clamp_min", ops::clamp_min(x.value(), lowest), {x},
                [x = x.value(), lowest](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::clamp_min_backward(gy, x, lowest));
                });
}

Var broadcast_to(const Var& x, const Shape& shape) {
  return record("broadcast_to", ops::broadcast_to(x.value(), shape), {x},
                [from = x.shape()](const Tensor& gy, Gradients& gradients) { gradients.add(0, ops::sum_to(gy, from)); });
}

}  // namespace tessera
