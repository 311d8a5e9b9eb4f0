// The assignment solver on the CPU; ops/assignment.h states the problem.
//
// Rows enter one by one (the matrix is transposed first when it has more rows than columns). For each, a search like
// Dijkstra's grows a tree of alternating paths over the reduced costs cost - row_price - column_price >= 0 until it
// reaches a free column; then the prices are moved so that the tree's pairs cost nothing, and the path is flipped.
#include "ops/assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tessera::ops {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr i64 kNone = -1;

class Solver {
 public:
  // cost [rows, columns], row-major, rows <= columns
  Solver(std::vector<double> cost, i64 rows, i64 columns)
      : cost_(std::move(cost)),
        columns_(columns),
        row_price_(rows),
        column_price_(columns),
        distance_(columns),
        previous_row_(columns),
        row_of_(columns, kNone),
        column_of_(rows, kNone),
        row_seen_(rows),
        column_seen_(columns) {}

  // The column of each row; empty when row `stuck()` cannot be matched at finite cost.
  std::vector<i64> solve() {
    for (i64 row = 0; row < static_cast<i64>(column_of_.size()); ++row) {
      stuck_ = row;
      const i64 sink = search(row);
      if (sink == kNone) return {};
      move_prices(row);
      flip(row, sink);
    }
    return column_of_;
  }
  i64 stuck() const { return stuck_; }

 private:
  // Grows the tree from `root`; the free column it reaches, or kNone. The unseen columns stand in a list that starts in
  // descending order, a seen one is overwritten by the last; of equal distances the first wins, except that a free
  // column replaces it. This order is the tie rule.
  i64 search(i64 root) {
    std::vector<i64> unseen(columns_);
    std::iota(unseen.rbegin(), unseen.rend(), 0);
    std::fill(row_seen_.begin(), row_seen_.end(), false);
    std::fill(column_seen_.begin(), column_seen_.end(), false);
    std::fill(distance_.begin(), distance_.end(), kInfinity);
    reached_ = 0;
    for (i64 row = root;;) {
      row_seen_[row] = true;
      double nearest = kInfinity;
      size_t position = 0;
      for (size_t k = 0; k < unseen.size(); ++k) {
        const i64 column = unseen[k];
        const double length = reached_ + cost_[row * columns_ + column] - row_price_[row] - column_price_[column];
        if (length < distance_[column]) {
          distance_[column] = length;
          previous_row_[column] = row;
        }
        if (distance_[column] < nearest || (distance_[column] == nearest && row_of_[column] == kNone)) {
          nearest = distance_[column];
          position = k;
        }
      }
      if (nearest == kInfinity) return kNone;
      reached_ = nearest;
      const i64 column = unseen[position];
      column_seen_[column] = true;
      if (row_of_[column] == kNone) return column;
      row = row_of_[column];
      unseen[position] = unseen.back();
      unseen.pop_back();
    }
  }

  void move_prices(i64 root) {
    row_price_[root] += reached_;
    for (i64 row = 0; row < static_cast<i64>(column_of_.size()); ++row)
      if (row_seen_[row] && row != root) row_price_[row] += reached_ - distance_[column_of_[row]];
    for (i64 column = 0; column < columns_; ++column)
      if (column_seen_[column]) column_price_[column] -= reached_ - distance_[column];
  }

  void flip(i64 root, i64 sink) {
    for (i64 column = sink, row = kNone; row != root;) {
      row = previous_row_[column];
      row_of_[column] = row;
      std::swap(column_of_[row], column);
    }
  }

  std::vector<double> cost_;
  i64 columns_;
  std::vector<double> row_price_, column_price_;
  std::vector<double> distance_;   // per column: shortest path from the root found so far
  std::vector<i64> previous_row_;  // per column: the row before it on that path
  std::vector<i64> row_of_, column_of_;
  std::vector<bool> row_seen_, column_seen_;
  double reached_ = 0;  // length of the path to the column seen last
  i64 stuck_ = 0;
};

template <class T>
void solve(const Tensor& cost, bool maximize, Assignment& assignment) {
  const i64 R = cost.dim(0), C = cost.dim(1);
  if (R == 0 || C == 0) return;
  const bool transposed = C < R;
  std::vector<double> values(R * C);
  for (i64 r = 0; r < R; ++r)
    for (i64 c = 0; c < C; ++c) {
      const double given = cost.data<T>()[r * C + c], value = maximize ? -given : given;
      TESSERA_CHECK(!std::isnan(value) && value != -kInfinity,
                    "linear_sum_assignment: cost[{}, {}] is {} in {} ({}); every value must be a number", r, c, given,
                    cost.shape(), maximize ? "maximising" : "minimising");
      values[transposed ? c * R + r : r * C + c] = value;
    }
  Solver solver(std::move(values), std::min(R, C), std::max(R, C));
  const std::vector<i64> matched = solver.solve();
  TESSERA_CHECK(!matched.empty(), "linear_sum_assignment: infeasible, {} {} of {} has no partner left at finite cost",
                transposed ? "column" : "row", solver.stuck(), cost.shape());
  std::vector<i64> order(matched.size());
  std::iota(order.begin(), order.end(), 0);
  if (transposed) std::sort(order.begin(), order.end(), [&](i64 a, i64 b) { return matched[a] < matched[b]; });
  for (i64 k : order) {
    assignment.rows.push_back(transposed ? matched[k] : k);
    assignment.columns.push_back(transposed ? k : matched[k]);
  }
}

void linear_sum_assignment_cpu(const Tensor& cost, bool maximize, Assignment& assignment) {
  dispatch_float(cost.dtype(), "linear_sum_assignment", [&]<class T>() { solve<T>(cost, maximize, assignment); });
}

const bool kAdded = linear_sum_assignment_kernels.add(DeviceKind::kCpu, linear_sum_assignment_cpu);

}  // namespace

}  // namespace tessera::ops
