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

// Where the next problem's rows and columns begin: behind those of the problems before, with gaps.
i64 first_row(const std::vector<ops::AssignmentProblem>& before) {
  i64 row = 0;
  for (const ops::AssignmentProblem& problem : before) row += problem.cost.dim(0) + 10;
  return row;
}
i64 first_column(const std::vector<ops::AssignmentProblem>& before) {
  return 7 * static_cast<i64>(before.size());
}

References naive_pairs_of_several(const Tensors& costs) {
  std::vector<ops::AssignmentProblem> before;
  std::vector<i64> rows, columns;
  for (const Tensor& cost : costs) {
    const i64 pairs = std::min(cost.dim(0), cost.dim(1));
    const auto column_is = [&](i64 c, double value) {
      for (i64 r = 0; r < cost.dim(0); ++r)
        if (cost.data<double>()[r * cost.dim(1) + c] != value) return false;
      return true;
    };
    bool solvable = cost.dim(1) == 0 || !column_is(cost.dim(1) - 1, INFINITY);
    for (const double x : cost.span<double>()) solvable = solvable && x > -INFINITY;
    const References found = solvable && pairs > 0 ? naive_pairs(cost, false) : References{};
    for (i64 k = 0; k < pairs; ++k) {
      rows.push_back(first_row(before) + (solvable ? found[0].data<i64>()[k] : k));
      columns.push_back(first_column(before) + (solvable ? found[1].data<i64>()[k] : k));
    }
    before.push_back({cost});
  }
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
                 return Outputs{Var(rows), Var(columns)};
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

  // Several problems at once, whose pairs count from rows and columns of their own.
  const auto several = [&](const std::string& name, const std::vector<Input>& costs) {
    add({.op = "linear_sum_assignment",
         .name = name,
         .in = costs,
         .run =
             [](const Vars& v) {
               std::vector<ops::AssignmentProblem> problems;
               for (const Var& cost : v)
                 problems.push_back({cost.value(), first_row(problems), first_column(problems)});
               const auto [rows, columns] = ops::linear_sum_assignments(problems);
               return Outputs{Var(rows), Var(columns)};
             },
         .reference = naive_pairs_of_several});
  };
  several("problems of every shape", {uniform({3, 7}), uniform({0, 4}), uniform({90, 2}), uniform({1, 1}),
                                      uniform({5, 0}), uniform({20, 20}), whole({9, 4}, 2)});
  several("more problems than a launch takes", std::vector<Input>(101, whole({3, 4}, 5)));
  several("problems without a solution among others",
          {uniform({2, 5}), values({2, 3}, {1, 2, 3, NAN, 5, 6}), uniform({6, 3}),
           values({3, 2}, {1, 2, 3, 4, -INFINITY, 6}), values({2, 2}, {1, INFINITY, 2, INFINITY}),
           constant({4, 4}, NAN), values({3, 1}, {INFINITY, INFINITY, INFINITY}), uniform({2, 2})});

  // Pairs as they come from several problems, and labels out of them.
  for (const i64 pairs : {i64{0}, i64{1}, i64{500}})
    add({.op = "indicator_matrix",
         .name = fmt::format("{} pairs", pairs),
         .in = {integers({pairs}, 0, 69), integers({pairs}, 0, 8), uniform({1})},
         .run =
             [](const Vars& v) {
               return Var(ops::indicator_matrix(v[0].value(), v[1].value(), 70, 9).to(v[2].value().dtype()));
             },
         .reference =
             [](const Tensors& t) {
               Tensor y = Tensor::zeros({70, 9}, DType::kF32);
               for (i64 k = 0; k < t[0].numel(); ++k)
                 y.data<float>()[t[0].data<i64>()[k] * 9 + t[1].data<i64>()[k]] = 1;
               return y;
             }});
  error("indicator_matrix", "a column outside", "indicator_matrix: pair 0 is (1, 1), outside [2, 1]", [] {
    const Tensor one = Tensor::full({1}, 1, DType::kI64);
    ops::indicator_matrix(one, one, 2, 1);
  });
  error("indicator_matrix", "rows and columns of two lengths",
        "indicator_matrix: rows and columns must be i64 of one length, got [2] and [3]",
        [] { ops::indicator_matrix(Tensor::zeros({2}, DType::kI64), Tensor::zeros({3}, DType::kI64), 4, 4); });
}

}  // namespace tessera::test
