#include "ops/assignment.h"

#include <algorithm>
#include <numeric>

namespace tessera::ops {

Assignment linear_sum_assignment(const Tensor& cost, bool maximize) {
  TESSERA_CHECK(cost.defined() && cost.rank() == 2, "linear_sum_assignment: cost must be [R, C], got {}", cost.shape());
  if (cost.numel() == 0) return {};
  const i64 R = cost.dim(0), C = cost.dim(1);
  Matching matching;
  linear_sum_assignment_kernels(cost, maximize, matching);
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

}  // namespace tessera::ops
