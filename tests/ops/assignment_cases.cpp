#include "ops/assignment.h"
#include "tests/ops/naive_assignment.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

Tensor turned(const Tensor& x, double factor) {
  Tensor y = Tensor::empty({x.dim(1), x.dim(0)}, DType::kF64);
  for (i64 r = 0; r < x.dim(0); ++r)
    for (i64 c = 0; c < x.dim(1); ++c) y.data<double>()[c * x.dim(0) + r] = factor * x.data<double>()[r * x.dim(1) + c];
  return y;
}

// rows, columns; with more rows than columns the turned problem is solved.
References naive_pairs(const Tensor& cost, bool maximize) {
  const double sign = maximize ? -1 : 1;
  const bool tall = cost.dim(0) > cost.dim(1);
  const Tensor wide = tall ? turned(cost, sign) : turned(turned(cost, sign), 1);
  const std::vector<i64> partner = naive_assignment(wide);
  std::vector<i64> rows, columns;
  for (i64 r = 0; r < cost.dim(0); ++r)
    for (i64 c = 0; c < cost.dim(1); ++c)
      if (partner[static_cast<size_t>(tall ? c : r)] == (tall ? r : c)) rows.push_back(r), columns.push_back(c);
  return {Tensor::from(rows), Tensor::from(columns)};
}

// Whole numbers below `values`: the fewer, the more sums are equal.
Input whole(const Shape& shape, i64 values) {
  return {[=](Random& random) {
    Tensor t = Tensor::empty(shape, DType::kF64);
    for (double& x : t.span<double>()) x = static_cast<double>(random.integer(0, values - 1));
    return t;
  }};
}

}  // namespace

OP_CASES(assignment) {
  for (const bool maximize : {false, true}) {
    const auto one = [&](const std::string& name, const Input& cost) {
      add({.op = "linear_sum_assignment",
           .name = fmt::format("{}{}", name, maximize ? " maximised" : ""),
           .in = {cost},
           .run =
               [=](const Vars& v) {
                 const auto [rows, columns] = ops::linear_sum_assignment(v[0].value(), maximize);
                 return Outputs{Var(Tensor::from(rows)), Var(Tensor::from(columns))};
               },
           .reference = [=](const Tensors& t) { return naive_pairs(t[0], maximize); }});
    };
    // fewer columns than a warp, more; more than one block has threads
    for (const Shape& shape : {Shape{1, 1}, Shape{1, 9}, Shape{9, 1}, Shape{5, 5}, Shape{7, 40}, Shape{100, 6},
                               Shape{30, 33}, Shape{3, 1100}}) {
      one(fmt::format("{}", shape), uniform(shape));
      for (const i64 values : {1, 2, 6})
        one(fmt::format("{}, {} different costs", shape, values), whole(shape, values));
    }
    const double never = maximize ? -INFINITY : INFINITY;
    one("forbidden pairs", values({3, 4}, {never, 1, never, 2, 1, never, 2, never, never, never, never, 3}));
    one("no rows", uniform({0, 3}));
    one("no columns", uniform({3, 0}));
  }
}

}  // namespace tessera::test
