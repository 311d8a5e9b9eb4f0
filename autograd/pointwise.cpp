#include "autograd/pointwise.h"

#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera {

namespace {

using Forward = Tensor (*)(const Tensor& x);
using BackwardOf = Tensor (*)(const Tensor& gy, const Tensor& x_or_y);

// y = forward(x), whose backward takes x or y, whichever makes it cheapest.
Var unary_from_y(const char* op, const Var& x, Forward forward, BackwardOf backward) {
  Tensor y = forward(x.value());
  return record(op, y, {x},
                [y, backward](const Tensor& gy, Gradients& gradients) { gradients.add(0, backward(gy, y)); });
}

Var unary_from_x(const char* op, const Var& x, Forward forward, BackwardOf backward) {
  return record(op, forward(x.value()), {x}, [x = x.value(), backward](const Tensor& gy, Gradients& gradients) {
    gradients.add(0, backward(gy, x));
  });
}

}  // namespace

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

Var relu(const Var& x) {
  return unary_from_y("relu", x, ops::relu, ops::relu_backward);
}
Var relu6(const Var& x) {
  return unary_from_y("relu6", x, ops::relu6, ops::relu6_backward);
}
Var sigmoid(const Var& x) {
  return unary_from_y("sigmoid", x, ops::sigmoid, ops::sigmoid_backward);
}
Var tanh(const Var& x) {
  return unary_from_y("tanh", x, ops::tanh, ops::tanh_backward);
}
Var gelu(const Var& x) {
  return unary_from_x("gelu", x, ops::gelu, ops::gelu_backward);
}
Var silu(const Var& x) {
  return unary_from_x("silu", x, ops::silu, ops::silu_backward);
}
Var exp(const Var& x) {
  return unary_from_y("exp", x, ops::exp, ops::exp_backward);
}
Var log(const Var& x) {
  return unary_from_x("log", x, ops::log, ops::log_backward);
}
Var softplus(const Var& x) {
  return unary_from_x("softplus", x, ops::softplus, ops::softplus_backward);
}
Var sqrt(const Var& x) {
  return unary_from_y("sqrt", x, ops::sqrt, ops::sqrt_backward);
}

}  // namespace tessera
