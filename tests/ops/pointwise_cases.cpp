// Cases of the pointwise operators.
#include <cmath>

#include "autograd/pointwise.h"
#include "ops/pointwise.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// The element of x under position i of y, with sizes of 1 repeated.
double repeated(const Tensor& x, const Shape& y, i64 i) {
  i64 offset = 0, step = 1;
  for (int d = y.rank() - 1, e = x.rank() - 1; e >= 0; --d, --e) {
    if (x.dim(e) != 1) offset += i % y[d] * step;
    step *= x.dim(e);
    i /= y[d];
  }
  return x.data<double>()[offset];
}

template <class F>
References naive_binary(const Tensor& a, const Tensor& b, const Shape& shape, F f) {
  Tensor y = Tensor::empty(shape, DType::kF64);
  for (i64 i = 0; i < y.numel(); ++i) y.data<double>()[i] = f(repeated(a, shape, i), repeated(b, shape, i));
  return y;
}

template <class F>
References naive_unary(const Tensor& x, F f) {
  Tensor y = x.clone();
  for (double& v : y.span<double>()) v = f(v);
  return y;
}

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

struct UnaryOp {
  const char* name;
  Var (*run)(const Var&);
  double (*formula)(double);
  // Where it is tested. log and sqrt are kept from 0, where their derivatives have no bound. sigmoid and tanh are kept
  // from their tails, where 1 - y, of which the derivative is made, has few digits left in f32.
  double lo, hi;
};

const UnaryOp kUnary[] = {
    {"relu", relu, [](double x) { return std::max(x, 0.0); }, -4, 4},
    {"leaky_relu", leaky_relu, [](double x) { return x > 0 ? x : 0.01 * x; }, -4, 4},
    {"relu6", relu6, [](double x) { return std::min(std::max(x, 0.0), 6.0); }, -4, 12},
    {"sigmoid", sigmoid, logistic, -3, 3},
    {"tanh", tanh, [](double x) { return std::tanh(x); }, -1.5, 1.5},
    {"gelu", gelu, [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }, -6, 6},
    {"silu", silu, [](double x) { return x * logistic(x); }, -8, 8},
    {"exp", exp, [](double x) { return std::exp(x); }, -6, 3},
    {"log", log, [](double x) { return std::log(x); }, 0.25, 8},
    {"softplus", softplus, [](double x) { return std::log1p(std::exp(x)); }, -8, 8},
    {"sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0.25, 8},
};

struct BinaryOp {
  const char* name;
  Var (*run)(const Var&, const Var&);
  double (*formula)(double, double);
};

const BinaryOp kBinary[] = {
    {"add", add, [](double a, double b) { return a + b; }},
    {"sub", sub, [](double a, double b) { return a - b; }},
    {"mul", mul, [](double a, double b) { return a * b; }},
    {"div", div, [](double a, double b) { return a / b; }},
};

// Pairs that meet every kind of run: equal, a number, rows, columns, repeated in the middle, both repeated.
struct ShapePair {
  Shape a, b, y;
};

const ShapePair kPairs[] = {
    {{2, 3, 5}, {2, 3, 5}, {2, 3, 5}},
    {{7, 33}, {33}, {7, 33}},
    {{33}, {7, 33}, {7, 33}},
    {{7, 33}, {7, 1}, {7, 33}},
    {{2, 3, 5}, {}, {2, 3, 5}},
    {{1, 1}, {2, 3}, {2, 3}},
    {{2, 3, 4, 5}, {2, 1, 1, 5}, {2, 3, 4, 5}},
    {{2, 1, 4, 1}, {3, 1, 5}, {2, 3, 4, 5}},
    {{4, 1}, {1, 6}, {4, 6}},
    {{1}, {1}, {1}},
    {{0, 3}, {3}, {0, 3}},
};

}  // namespace

OP_CASES(pointwise) {
  in_bf16();
  for (const UnaryOp& op : kUnary) {
    const auto run = [&op](const Vars& v) { return op.run(v[0]); };
    const auto reference = [&op](const Tensors& t) { return naive_unary(t[0], op.formula); };
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{0, 4}, Shape{2, 3, 67}})
      add({.op = op.name,
           .name = shape.str(),
           .in = {uniform(shape, op.lo, op.hi)},
           .run = run,
           .reference = reference,
           .grad = {0}});
    add({.op = op.name,
         .name = "beyond one thread's share",
         .in = {uniform({33, 2003}, op.lo, op.hi)},
         .run = run,
         .reference = reference});
    bench({.op = op.name,
           .name = "[4, 80, 80, 64]",
           .in = {uniform({4, 80, 80, 64}, op.lo, op.hi)},
           .run = run,
           .grad = {0},
           .bytes = 8.0 * 4 * 80 * 80 * 64});
  }
  // What overflows f32 only is in pointwise_test.cpp. libm's max and min drop NaN; every operator passes it on. At
  // -infinity gelu and silu are -infinity * 0, which is NaN, as in PyTorch.
  const std::vector<double> odd = {NAN, INFINITY, 0, -0.0, 1e-40, 80, 1e-30, -INFINITY, -1e-30, -80};
  for (const UnaryOp& op : kUnary) {
    const i64 count = op.lo < 0 ? 10 : 7;
    add({.op = op.name,
         .name = "NaN, infinities, zeros, denormals",
         .in = {values({count}, {odd.begin(), odd.begin() + count})},
         .run = [&op](const Vars& v) { return op.run(v[0]); },
         .reference =
             [&op](const Tensors& t) {
               return naive_unary(t[0], [&op](double x) { return std::isnan(x) ? x : op.formula(x); });
             }});
  }
  // One rule on all devices: the gradient passes where y is inside, and NaN is not; a NaN among the gradients passes
  // like any other. Enough elements for whole vectors and a rest.
  struct BackwardOp {
    const char* name;
    Tensor (*run)(const Tensor& gy, const Tensor& y);
    bool (*passes)(double y);
  };
  for (const BackwardOp& op :
       {BackwardOp{"relu_backward", ops::relu_backward, [](double y) { return y > 0; }},
        BackwardOp{"relu6_backward", ops::relu6_backward, [](double y) { return y > 0 && y < 6; }}}) {
    std::vector<double> gy, y;
    for (int i = 0; i < 67; ++i) {
      gy.push_back(i % 13 == 5 ? NAN : i - 30);
      y.push_back(std::vector<double>{NAN, 3, 0, 6, -NAN, INFINITY, -0.0, 1e-30}[static_cast<size_t>(i % 8)]);
    }
    add({.op = op.name,
         .name = "NaN and the kinks",
         .in = {values({67}, gy), values({67}, y)},
         .run = [op](const Vars& v) { return Var(op.run(v[0].value(), v[1].value())); },
         .reference =
             [op](const Tensors& t) {
               Tensor gx = t[0].clone();
               for (i64 i = 0; i < gx.numel(); ++i)
                 if (!op.passes(t[1].data<double>()[i])) gx.data<double>()[i] = 0;
               return gx;
             }});
  }
  for (const BinaryOp& op : kBinary) {
    for (const ShapePair& pair : kPairs)
      add({.op = op.name,
           .name = fmt::format("{} {}", pair.a, pair.b),
           .in = {uniform(pair.a), uniform(pair.b, 0.5, 2)},
           .run = [&op](const Vars& v) { return op.run(v[0], v[1]); },
           .reference = [&op, pair](const Tensors& t) { return naive_binary(t[0], t[1], pair.y, op.formula); },
           .grad = {0, 1},
           .reduction = 24});
    add({.op = op.name,
         .name = "one argument twice",
         .in = {uniform({3, 5}, 0.5, 2)},
         .run = [&op](const Vars& v) { return op.run(v[0], v[0]); },
         .reference = [&op](const Tensors& t) { return naive_binary(t[0], t[0], t[0].shape(), op.formula); },
         .grad = {0}});
    for (const ShapePair& pair :
         {ShapePair{{5, 40, 1001}, {5, 40, 1001}, {5, 40, 1001}}, ShapePair{{5, 40, 1001}, {1001}, {5, 40, 1001}},
          ShapePair{{3, 40, 96}, {3, 1, 96}, {3, 40, 96}}, ShapePair{{1, 200001}, {}, {1, 200001}}})
      add({.op = op.name,
           .name = fmt::format("beyond one thread's share {} {}", pair.a, pair.b),
           .in = {uniform(pair.a), uniform(pair.b, 0.5, 2)},
           .run = [&op](const Vars& v) { return op.run(v[0], v[1]); },
           .reference = [&op, pair](const Tensors& t) { return naive_binary(t[0], t[1], pair.y, op.formula); }});
    error(op.name, "shapes that do not broadcast",
          fmt::format("{}: shapes [2, 3] and [2, 4] do not broadcast", op.name), [&op] {
            op.run(Var(Tensor::zeros({2, 3})), Var(Tensor::zeros({2, 4})));
          });
    error(op.name, "different dtypes", "dtypes differ, [3] f32 and [3] f64",
          [&op] { op.run(Var(Tensor::zeros({3})), Var(Tensor::zeros({3}, DType::kF64))); });
    bench({.op = op.name,
           .name = "[4, 80, 80, 64] [64]",
           .in = {uniform({4, 80, 80, 64}), uniform({64}, 0.5, 2)},
           .run = [&op](const Vars& v) { return op.run(v[0], v[1]); },
           .grad = {0, 1},
           .bytes = 8.0 * 4 * 80 * 80 * 64});
  }
  for (const Shape& shape : {Shape{3, 5}, Shape{0}, Shape{70000}})
    add({.op = "add_relu",
         .name = shape.str(),
         .in = {spread(shape), spread(shape, 0.003)},
         .run = [](const Vars& v) { return add_relu(v[0], v[1]); },
         .reference =
             [](const Tensors& t) {
               return naive_binary(t[0], t[1], t[0].shape(), [](double a, double b) { return std::max(a + b, 0.0); });
             },
         .grad = shape.numel() < 100 ? std::vector<int>{0, 1} : std::vector<int>{}});
  error("add_relu", "does not broadcast", "add_relu: shapes [2, 3] and [3] differ", [] {
    add_relu(Var(Tensor::zeros({2, 3})), Var(Tensor::zeros({3})));
  });

  for (const Shape& from : {Shape{2, 1, 5}, Shape{3, 1}, Shape{}, Shape{0, 1, 2}}) {
    const Shape to = from.rank() == 3 ? Shape{from[0], 4, from[2]} : Shape{2, 3, 4};
    add({.op = "broadcast_to",
         .name = from.str(),
         .in = {spread(from)},
         .run = [to](const Vars& v) { return broadcast_to(v[0], to); },
         .reference =
             [to](const Tensors& t) { return naive_binary(t[0], t[0], to, [](double a, double) { return a; }); },
         .grad = {0},
         .reduction = 24});
  }

  struct ScalarOp {
    const char* name;
    Var (*run)(const Var&, double);
    double (*formula)(double, double);
  };
  for (const ScalarOp& op : {ScalarOp{"add_scalar", add_scalar, [](double x, double v) { return x + v; }},
                             ScalarOp{"mul_scalar", mul_scalar, [](double x, double v) { return x * v; }},
                             ScalarOp{"clamp_min", clamp_min, [](double x, double v) { return x < v ? v : x; }}})
    for (const Shape& shape : {Shape{}, Shape{4, 37}, Shape{0, 2}})
      add({.op = op.name,
           .name = shape.str(),
           .in = {spread(shape)},
           .run = [op](const Vars& v) { return op.run(v[0], 0.125); },
           .reference =
               [op](const Tensors& t) { return naive_unary(t[0], [op](double x) { return op.formula(x, 0.125); }); },
           .grad = {0}});
  error("relu", "integers", "relu: dtype i64 is not supported, use f32, f64 (on the CPU) or bf16 (on CUDA devices)",
        [] { relu(Var(Tensor::zeros({2}, DType::kI64))); });
  error("relu", "undefined", "relu: the input is undefined", [] { relu(Var()); });
}

}  // namespace tessera::test
