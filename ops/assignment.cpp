#include "ops/assignment.h"

#include <algorithm>
#include <vector>

namespace tessera::ops {

namespace {

struct Solved {
  Assignment assignment;
  Tensor outcomes;
};

Solved solve(std::span<const AssignmentProblem> problems, bool maximize) {
  std::vector<AssignmentProblem> filled;
  i64 pairs = 0;
  for (const AssignmentProblem& problem : problems) {
    const Tensor& cost = problem.cost;
    const Tensor& first = problems[0].cost;
    TESSERA_CHECK(cost.defined() && cost.rank() == 2, "linear_sum_assignment: cost must be [R, C], got {}",
                  cost.shape());
    TESSERA_CHECK(is_compute_float(cost.dtype()), "linear_sum_assignment: dtype {} is not supported, use f32 or f64",
                  name_of(cost.dtype()));
    TESSERA_CHECK(cost.dtype() == first.dtype() && cost.device() == first.device(),
                  "linear_sum_assignment: the costs are {} on {} and {} on {}", name_of(first.dtype()), first.device(),
                  name_of(cost.dtype()), cost.device());
    if (cost.numel() == 0) continue;
    filled.push_back(problem);
    pairs += std::min(cost.dim(0), cost.dim(1));
  }
  const Device device = problems.empty() ? Device{} : problems[0].cost.device();
  const auto integers = [&](const Shape& shape) { return Tensor::empty(shape, DType::kI64, device); };
  Solved solved{{integers({pairs}), integers({pairs})}, integers({static_cast<i64>(filled.size()), 2})};
  if (pairs > 0)
    linear_sum_assignment_kernels(filled, maximize, solved.outcomes, solved.assignment.rows, solved.assignment.columns);
  return solved;
}

}  // namespace

Assignment linear_sum_assignment(const Tensor& cost, bool maximize) {
  const auto [assignment, outcomes] = solve(std::array{AssignmentProblem{cost}}, maximize);
  if (cost.numel() == 0) return assignment;
  const Tensor outcome = outcomes.to_host();
  const i64 no_cost = outcome.data<i64>()[0], stuck = outcome.data<i64>()[1], R = cost.dim(0), C = cost.dim(1);
  TESSERA_CHECK(no_cost < 0, "linear_sum_assignment: cost[{}, {}] is {} in {} ({}); every value must be a number",
                no_cost / C, no_cost % C, cost.reshape({R * C}).rows(no_cost, no_cost + 1).item(), cost.shape(),
                maximize ? "maximising" : "minimising");
  TESSERA_CHECK(stuck < 0, "linear_sum_assignment: infeasible, {} {} of {} has no partner left at finite cost",
                C < R ? "column" : "row", stuck, cost.shape());
  return assignment;
}

Assignment linear_sum_assignments(std::span<const AssignmentProblem> problems, bool maximize) {
  return solve(problems, maximize).assignment;
}

Tensor indicator_matrix(const Tensor& rows, const Tensor& columns, i64 R, i64 C) {
  TESSERA_CHECK(rows.defined() && columns.defined() && rows.rank() == 1 && rows.shape() == columns.shape() &&
                    rows.dtype() == DType::kI64 && columns.dtype() == DType::kI64,
                "indicator_matrix: rows and columns must be i64 of one length, got {} and {}", rows.shape(),
                columns.shape());
  Tensor y = Tensor::zeros({R, C}, DType::kF32, rows.device());
  indicator_matrix_kernels(rows, columns, y);
  return y;
}

}  // namespace tessera::ops
