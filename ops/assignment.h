// The linear assignment problem (bipartite matching).
#pragma once

#include <span>

#include "ops/kernel_table.h"

namespace tessera::ops {

struct Assignment {
  Tensor rows, columns;  // i64 [P] on the device of the costs: pair k is (rows[k], columns[k]); rows ascend
};

// The min(R, C) pairs of a row and a column of `cost` [R, C] (f32 or f64), no row and no column twice, with the least
// sum of costs (with `maximize`: the largest). Exact: shortest augmenting paths on doubles, O(min(R, C)^2 max(R, C)).
//
// Equal sums are decided as by scipy.optimize.linear_sum_assignment; a constant matrix gives the identity. No rows or
// no columns give no pairs. An infinite cost forbids a pair (with `maximize`: minus infinity does).
// Errors: NaN, or an infinity of the wrong sign, naming its position; no assignment of finite cost. The host waits for
// the device to see whether there is one.
// Source: D. F. Crouse, "On implementing 2D rectangular assignment algorithms", IEEE TAES 52(4), 2016.
Assignment linear_sum_assignment(const Tensor& cost, bool maximize = false);

// One of several problems: its pairs count their rows and columns from these.
struct AssignmentProblem {
  Tensor cost;
  i64 first_row = 0, first_column = 0;
};

// Several problems of one device and dtype, together: their pairs one problem after the other, so the rows of all
// ascend where each problem's first_row lies behind the rows before. On a GPU all are solved at the same time, and the
// host does not wait: how many pairs there are follows from the shapes. A problem that linear_sum_assignment() would
// refuse gets the pairs (k, k), on every device; who cannot rule it out checks the costs.
Assignment linear_sum_assignments(std::span<const AssignmentProblem> problems, bool maximize = false);

// Pairs as a matrix: y [R, C], f32, 1 at (rows[k], columns[k]) and 0 elsewhere. A pair outside it is an error on the
// CPU; on other devices it is passed by.
Tensor indicator_matrix(const Tensor& rows, const Tensor& columns, i64 R, i64 C);

// Neither R nor C is 0. Of each problem, outcomes i64 [problems, 2] say the position of the first value that is no cost
// and the row, or with C < R the column, for which no partner is left; -1 where there is none.
using LinearSumAssignmentKernel = void(std::span<const AssignmentProblem> problems, bool maximize, Tensor& outcomes,
                                       Tensor& rows, Tensor& columns);
inline constinit KernelTable<LinearSumAssignmentKernel> linear_sum_assignment_kernels{"linear_sum_assignment"};
// y is zero before
inline constinit KernelTable<void(const Tensor& rows, const Tensor& columns, Tensor& y)> indicator_matrix_kernels{
    "indicator_matrix"};

}  // namespace tessera::ops
