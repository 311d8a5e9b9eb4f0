#include "ops/assignment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/random.h"
#include "tests/ops/naive_assignment.h"
#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

constexpr double kInfinity = INFINITY;

Tensor matrix(const std::vector<std::vector<double>>& rows) {
  std::vector<double> values;
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
  return Tensor::from(values, {static_cast<i64>(rows.size()), static_cast<i64>(rows[0].size())});
}

std::vector<i64> list(const Tensor& x) {
  return {x.span<i64>().begin(), x.span<i64>().end()};
}

void check_pairs(const Tensor& cost, bool maximize, const std::vector<i64>& rows, const std::vector<i64>& columns) {
  const ops::Assignment assignment = ops::linear_sum_assignment(cost, maximize);
  CHECK(list(assignment.rows) == rows);
  CHECK(list(assignment.columns) == columns);
}

// The least sum over all assignments of a small matrix with R <= C, by trying every order of its columns.
double least_sum(const Tensor& cost) {
  std::vector<i64> columns(cost.dim(1));
  std::iota(columns.begin(), columns.end(), 0);
  double least = kInfinity;
  do {
    double sum = 0;
    for (i64 r = 0; r < cost.dim(0); ++r) sum += cost.data<double>()[r * cost.dim(1) + columns[r]];
    least = std::min(least, sum);
  } while (std::next_permutation(columns.begin(), columns.end()));
  return least;
}

}  // namespace

TEST_CASE("linear_sum_assignment: thousands of matrices, most of them with ties, as by the algorithm as published") {
  Random random(3);
  for (int k = 0; k < 3000; ++k) {
    const i64 R = random.integer(1, k % 10 == 0 ? 70 : 12), C = R + random.integer(0, k % 3 == 0 ? 90 : 9);
    const i64 values = random.integer(1, 40);  // different ones in the matrix
    Tensor cost = Tensor::empty({R, C}, DType::kF64), turned = Tensor::empty({C, R}, DType::kF64);
    for (i64 r = 0; r < R; ++r)
      for (i64 c = 0; c < C; ++c) {
        const double value = k % 7 == 0 ? random.normal() : static_cast<double>(random.integer(0, values));
        cost.data<double>()[r * C + c] = value;
        turned.data<double>()[c * R + r] = -value;
      }
    const std::vector<i64> expected = naive_assignment(cost);
    REQUIRE(list(ops::linear_sum_assignment(cost).columns) == expected);
    if (k % 7 != 0)  // whole numbers are the same in f32
      REQUIRE(list(ops::linear_sum_assignment(cost.to(DType::kF32)).columns) == expected);
    if (R == C) continue;  // the turned matrix is then solved by its own rows, and ties may fall otherwise
    const ops::Assignment other = ops::linear_sum_assignment(turned, true);
    const std::vector<i64> rows = list(other.rows), columns = list(other.columns);
    for (size_t i = 0; i < expected.size(); ++i) REQUIRE(expected[columns[i]] == rows[i]);
  }
}

TEST_CASE("linear_sum_assignment: pairs and ties are those of scipy") {
  check_pairs(matrix({{4, 1, 3}, {2, 0, 5}, {3, 2, 2}}), false, {0, 1, 2}, {1, 0, 2});
  check_pairs(Tensor::full({3, 4}, 0.7), false, {0, 1, 2}, {0, 1, 2});
  check_pairs(Tensor::full({4, 3}, 0.7), true, {0, 1, 2}, {0, 1, 2});
  check_pairs(matrix({{0, 1}, {0, 1}, {1, 0}, {1, 1}}), false, {0, 2}, {0, 1});
  check_pairs(matrix({{0, 1}, {0, 1}, {1, 0}, {1, 1}}), true, {0, 2}, {1, 0});
  check_pairs(matrix({{2, 2, 1}, {2, 1, 2}, {1, 2, 2}, {2, 2, 2}}), true, {0, 1, 2}, {0, 2, 1});
  check_pairs(matrix({{1, 1, 0, 0, 1}, {1, 1, 0, 0, 1}, {0, 0, 0, 0, 1}}), false, {0, 1, 2}, {2, 3, 0});
  check_pairs(matrix({{0, 0, 2, 1}, {1, 0, 0, 2}, {1, 1, 0, 0}}), false, {0, 1, 2}, {0, 1, 2});
}

TEST_CASE("linear_sum_assignment: the sum is the least of all, and the largest when maximising") {
  Random random(7);
  for (int k = 0; k < 60; ++k) {
    const i64 R = random.integer(1, 4), C = random.integer(R, 6);
    Tensor cost = Tensor::empty({R, C}, DType::kF64), negated = Tensor::empty({C, R}, DType::kF64);
    for (i64 r = 0; r < R; ++r)
      for (i64 c = 0; c < C; ++c) {
        // Every other matrix has few different values: many ties.
        const double value = k % 2 ? random.normal() : static_cast<double>(random.integer(0, 2));
        cost.data<double>()[r * C + c] = value;
        negated.data<double>()[c * R + r] = -value;
      }
    const ops::Assignment assignment = ops::linear_sum_assignment(cost);
    REQUIRE(assignment.rows.numel() == R);
    const std::vector<i64> rows = list(assignment.rows), columns = list(assignment.columns);
    double sum = 0;
    for (i64 k = 0; k < R; ++k) {
      CHECK(rows[k] == k);
      sum += cost.data<double>()[k * C + columns[k]];
    }
    CHECK(sum == doctest::Approx(least_sum(cost)));
    // The same problem turned over: transposed, negated and maximised.
    const ops::Assignment turned = ops::linear_sum_assignment(negated, true);
    const std::vector<i64> turned_rows = list(turned.rows), turned_columns = list(turned.columns);
    CHECK(std::is_sorted(turned_rows.begin(), turned_rows.end()));
    double turned_sum = 0;
    for (i64 k = 0; k < R; ++k) turned_sum -= negated.data<double>()[turned_rows[k] * R + turned_columns[k]];
    CHECK(turned_sum == doctest::Approx(sum));
  }
}

TEST_CASE("linear_sum_assignment: no rows or no columns give no pairs") {
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{0, 0}})
    CHECK(ops::linear_sum_assignment(Tensor::zeros(shape)).rows.numel() == 0);
}

TEST_CASE("linear_sum_assignments: costs that are no matrices of one dtype are refused, no problem is no pair") {
  CHECK(ops::linear_sum_assignments({}).rows.numel() == 0);
  const auto both = [](const Tensor& one, const Tensor& other) {
    ops::linear_sum_assignments(std::array{ops::AssignmentProblem{one}, ops::AssignmentProblem{other}});
  };
  CHECK_ERROR(both(matrix({{1}}), Tensor::zeros({2})), "cost must be [R, C], got [2]");
  CHECK_ERROR(both(matrix({{1}}), Tensor::zeros({1, 1})), "the costs are f64 on cpu and f32 on cpu");
}

TEST_CASE("linear_sum_assignment: infinite costs forbid pairs") {
  check_pairs(matrix({{kInfinity, 1, kInfinity}, {1, kInfinity, 2}, {3, 2, kInfinity}}), false, {0, 1, 2}, {1, 2, 0});
  CHECK_ERROR(ops::linear_sum_assignment(matrix({{1, kInfinity}, {2, kInfinity}})),
              "infeasible, row 1 of [2, 2] has no partner left at finite cost");
  CHECK_ERROR(ops::linear_sum_assignment(matrix({{1, -kInfinity}, {2, -kInfinity}, {3, -kInfinity}}), true),
              "infeasible, column 1 of [3, 2]");
}

TEST_CASE("linear_sum_assignment: values that are no costs are refused by position") {
  CHECK_ERROR(ops::linear_sum_assignment(matrix({{1, 2}, {3, NAN}})), "cost[1, 1] is nan in [2, 2]");
  CHECK_ERROR(ops::linear_sum_assignment(matrix({{1, -kInfinity}})), "cost[0, 1] is -inf in [1, 2] (minimising)");
  CHECK_ERROR(ops::linear_sum_assignment(matrix({{1}, {kInfinity}}), true), "cost[1, 0] is inf in [2, 1] (maximising)");
  CHECK_ERROR(ops::linear_sum_assignment(Tensor::zeros({2, 2, 2})), "cost must be [R, C], got [2, 2, 2]");
  CHECK_ERROR(ops::linear_sum_assignment(Tensor()), "cost must be [R, C]");
  CHECK_ERROR(ops::linear_sum_assignment(Tensor::zeros({2, 2}, DType::kI64)), "dtype i64 is not supported");
}

TEST_CASE("linear_sum_assignment: a matching of a hundred predictions with many targets is quick and complete") {
  Random random(11);
  Tensor cost = Tensor::empty({500, 300});
  random.fill_uniform(cost, 0, 1);
  const ops::Assignment assignment = ops::linear_sum_assignment(cost, true);
  std::vector<i64> columns = list(assignment.columns);
  std::sort(columns.begin(), columns.end());
  CHECK(std::unique(columns.begin(), columns.end()) == columns.end());
  CHECK(columns.size() == 300);
}

}  // namespace tessera::test
