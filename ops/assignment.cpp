#include "ops/assignment.h"

#include <algorithm>
#include <numeric>

#include "ops/arrange.h"

namespace tessera::ops {

namespace {

Assignment arrange_pairs(const Tensor& cost, const Matching& matching, bool maximize) {
  const i64 R = cost.dim(0), C = cost.dim(1);
  const auto& [partner, no_cost, stuck] = matching;
  TESSERA_CHECK(no_cost < 0, "linear_sum_assignment: cost[{}, {}] is {} in {} ({}); every value must be a number",
                no_cost / C, no_cost % C, cost.reshape({R * C}).rows(no_cost, no_cost + 1).item(), cost.shape(),
                maximize ? "maximising" : "minimising");
  TESSERA_CHECK(stuck < 0, "linear_sum_assignment: infeasible, {} {} of {} has no partner left at finite cost",
                C < R ? "column" : "row", stuck, cost.shape());
  std::vector<i64> order(partner.size());
  std::iota(order.begin(), order.end(), 0);
  if (R <= C) return {order, partner};
  std::sort(order.begin(), order.end(), [&](i64 a, i64 b) { return matching.partner[a] < matching.partner[b]; });
  Assignment assignment{{}, order};
  for (const i64 column : order) assignment.rows.push_back(partner[column]);
  return assignment;
}

}  // namespace

std::vector<Assignment> linear_sum_assignments(const std::vector<Tensor>& costs, bool maximize) {
  std::vector<Tensor> parts;
  std::vector<AssignmentProblem> problems;
  i64 begin = 0;
  for (const Tensor& cost : costs) {
    TESSERA_CHECK(cost.defined() && cost.rank() == 2, "linear_sum_assignment: cost must be [R, C], got {}",
                  cost.shape());
    if (cost.numel() == 0) continue;
    parts.push_back(cost.reshape({cost.numel()}));
    problems.push_back({begin, cost.dim(0), cost.dim(1)});
    begin += cost.numel();
  }
  std::vector<Assignment> assignments(costs.size());
  if (parts.empty()) return assignments;
  std::vector<Matching> matchings;
  linear_sum_assignment_kernels(parts.size() == 1 ? parts[0] : concat(parts, 0), problems, maximize, matchings);
  for (size_t i = 0, solved = 0; i < costs.size(); ++i)
    if (costs[i].numel() > 0) assignments[i] = arrange_pairs(costs[i], matchings[solved++], maximize);
  return assignments;
}

Assignment linear_sum_assignment(const Tensor& cost, bool maximize) {
  return linear_sum_assignments({cost}, maximize)[0];
}

}  // namespace tessera::ops
