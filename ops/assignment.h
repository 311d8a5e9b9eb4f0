// The linear assignment problem (bipartite matching).
#pragma once

#include <vector>

#include "ops/kernel_table.h"

namespace tessera::ops {

struct Assignment {
  std::vector<i64> rows, columns;  // pair k is (rows[k], columns[k]); rows ascend
};

// The min(R, C) pairs of a row and a column of `cost` [R, C] (f32 or f64), no row and no column twice, with the least
// sum of costs (with `maximize`: the largest). Exact: shortest augmenting paths on doubles, O(min(R, C)^2 max(R, C)).
//
// Equal sums are decided as by scipy.optimize.linear_sum_assignment; a constant matrix gives the identity. No rows or
// no columns give no pairs. An infinite cost forbids a pair (with `maximize`: minus infinity does).
// Errors: NaN, or an infinity of the wrong sign, naming its position; no assignment of finite cost.
// Source: D. F. Crouse, "On implementing 2D rectangular assignment algorithms", IEEE TAES 52(4), 2016.
Assignment linear_sum_assignment(const Tensor& cost, bool maximize = false);

// Several problems of one device and dtype, together: on a GPU all at the same time, and the host waits once.
std::vector<Assignment> linear_sum_assignments(const std::vector<Tensor>& costs, bool maximize = false);

// A problem as a kernel gets it: [R, C], neither of them 0, from the element `begin` of all costs one after the other.
struct AssignmentProblem {
  i64 begin, R, C;
};
// What it finds. The shorter side is matched: partner[k] is the column of row k, or the row of column k when
// there are more rows than columns. Otherwise the position of the first value that is no cost, or the row or column for
// which no partner is left.
struct Matching {
  std::vector<i64> partner;
  i64 no_cost = -1, stuck = -1;
};
using LinearSumAssignmentKernel = void(const Tensor& costs, const std::vector<AssignmentProblem>& problems,
                                       bool maximize, std::vector<Matching>& matchings);
inline constinit KernelTable<LinearSumAssignmentKernel> linear_sum_assignment_kernels{"linear_sum_assignment"};

}  // namespace tessera::ops
