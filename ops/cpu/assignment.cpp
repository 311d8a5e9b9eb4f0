// The assignment solver on the CPU; ops/assignment.h states the problem.
//
// Rows enter one by one (the matrix is transposed first when it has more rows than columns). For each, a search like
// Dijkstra's grows a tree of alternating paths over the reduced costs cost - row_price - column_price >= 0 until it
// reaches a free column; then the prices are moved so that the tree's pairs cost nothing, and the path is flipped.
//
// Nearly all time goes into the loop that takes a row into the tree: it runs over all columns in order, as vectors
// (ops/cpu/simd/assignment.cpp), and a column that is in the tree already has the price minus infinity there, which
// puts it out of reach. Starting from a reduction of the columns would spare some searches, but decides ties otherwise.
#include "ops/assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/cpu/simd/assignment.h"
#include "ops/scalar/assignment.h"

namespace tessera::ops {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr i64 kNone = -1;

template <class T>
class Solver {
 public:
  // cost [rows, columns], row-major, rows <= columns
  Solver(std::vector<T> cost, i64 rows, i64 columns)
      : cost_(std::move(cost)),
        columns_(columns),
        row_price_(rows),
        column_price_(columns),
        open_price_(columns),
        distance_(columns),
        previous_row_(columns),
        row_of_(columns, kNone),
        column_of_(rows, kNone),
        unseen_(columns),
        place_(columns),
        candidates_(columns) {
    std::iota(unseen_.rbegin(), unseen_.rend(), 0);
    std::iota(place_.rbegin(), place_.rend(), 0);
  }

  // The column of each row; empty when row `stuck()` cannot be matched at finite cost.
  std::vector<i64> solve() {
    for (i64 row = 0; row < static_cast<i64>(column_of_.size()); ++row) {
      stuck_ = row;
      const i64 sink = search(row);
      if (sink == kNone) return {};
      move_prices(row);
      restore_list();
      flip(row, sink);
    }
    return column_of_;
  }
  i64 stuck() const { return stuck_; }

 private:
  struct Seen {
    i64 column, replacement;  // the column that took its place in the list
    double distance;
  };

  // Grows the tree from `root`; the free column it reaches, or kNone.
  i64 search(i64 root) {
    const auto relax = simd::assignment_relax.get<T>();
    const auto find = simd::assignment_find.get();
    std::fill(distance_.begin(), distance_.end(), kInfinity);
    seen_.clear();
    reached_ = 0;
    for (i64 row = root, left = columns_;; --left) {
      double nearest;
      relax(cost_.data() + row * columns_, open_price_.data(), reached_, row_price_[row], row, distance_.data(),
            previous_row_.data(), columns_, &nearest);
      if (nearest == kInfinity) return kNone;
      reached_ = nearest;
      i64 count;
      find(distance_.data(), nearest, columns_, candidates_.data(), &count);
      const i64 column = choose(count);
      const i64 last = unseen_[left - 1];
      seen_.push_back({column, last, nearest});
      if (row_of_[column] == kNone) return column;
      distance_[column] = kInfinity;
      open_price_[column] = -kInfinity;
      row = row_of_[column];
      unseen_[place_[column]] = last;
      place_[last] = place_[column];
    }
  }

  // Of equally near columns the one that ops/scalar/assignment.h ranks first. The list of unseen columns starts in
  // descending order, a seen one is overwritten by the last.
  i64 choose(i64 count) const {
    const auto rank = [&](i64 column) { return scalar::tie_rank(place_[column], row_of_[column] == kNone, columns_); };
    return *std::min_element(candidates_.begin(), candidates_.begin() + count,
                             [&](i64 a, i64 b) { return rank(a) < rank(b); });
  }

  void move_prices(i64 root) {
    row_price_[root] += reached_;
    for (const auto& [column, replacement, distance] : seen_) {
      if (row_of_[column] != kNone) row_price_[row_of_[column]] += reached_ - distance;
      column_price_[column] -= reached_ - distance;
      open_price_[column] = column_price_[column];
    }
  }

  // Only the columns that the search touched stand elsewhere than at the start.
  void restore_list() {
    for (const Seen& seen : seen_)
      for (const i64 column : {seen.column, seen.replacement}) {
        place_[column] = columns_ - 1 - column;
        unseen_[place_[column]] = column;
      }
  }

  void flip(i64 root, i64 sink) {
    for (i64 column = sink, row = kNone; row != root;) {
      row = previous_row_[column];
      row_of_[column] = row;
      std::swap(column_of_[row], column);
    }
  }

  std::vector<T> cost_;
  i64 columns_;
  std::vector<double> row_price_, column_price_;
  std::vector<double> open_price_;  // the column's price; minus infinity while it is in the tree
  std::vector<double> distance_;    // per column outside the tree: shortest path from the root found so far
  std::vector<i64> previous_row_;   // per column: the row before it on that path
  std::vector<i64> row_of_, column_of_;
  std::vector<i64> unseen_, place_;  // the list of unseen columns, and where in it each stands
  std::vector<i64> candidates_;      // columns of equal distance
  std::vector<Seen> seen_;           // the tree's columns, in the order of their entry
  double reached_ = 0;               // length of the path to the column seen last
  i64 stuck_ = 0;
};

// The position of the first value that is no cost, NaN or an infinity that would always be taken, or -1.
template <class T>
i64 find_no_cost(const T* values, i64 count, bool maximize) {
  const T worst = maximize ? -static_cast<T>(kInfinity) : static_cast<T>(kInfinity);
  const auto good = [=](T value) { return std::abs(value) < static_cast<T>(kInfinity) || value == worst; };
  i64 bad = 0;
  for (i64 i = 0; i < count; ++i) bad += !good(values[i]);
  return bad == 0 ? -1 : std::find_if_not(values, values + count, good) - values;
}

// The matrix to be minimised, with at most as many rows as columns: R <= C or, transposed, C < R. In blocks, so that
// neither side of the transposition leaves the cache.
template <class T>
std::vector<T> wide_costs(const T* from, i64 R, i64 C, bool maximize) {
  constexpr i64 kBlock = 16;
  const T sign = maximize ? T(-1) : T(1);
  std::vector<T> values(R * C);
  if (R <= C) {
    for (i64 i = 0; i < R * C; ++i) values[i] = sign * from[i];
    return values;
  }
  for (i64 r0 = 0; r0 < R; r0 += kBlock)
    for (i64 c0 = 0; c0 < C; c0 += kBlock)
      for (i64 c = c0; c < std::min(c0 + kBlock, C); ++c)
        for (i64 r = r0; r < std::min(r0 + kBlock, R); ++r) values[c * R + r] = sign * from[r * C + c];
  return values;
}

// Writes the problem's pairs to rows and columns, and what was found to outcome.
template <class T>
void solve(const AssignmentProblem& problem, bool maximize, i64* outcome, i64* rows, i64* columns) {
  const T* cost = problem.cost.data<T>();
  const i64 R = problem.cost.dim(0), C = problem.cost.dim(1), pairs = std::min(R, C);
  outcome[0] = find_no_cost(cost, R * C, maximize);
  outcome[1] = kNone;
  std::vector<i64> partner;  // of the shorter side
  if (outcome[0] == kNone) {
    Solver<T> solver(wide_costs(cost, R, C, maximize), pairs, std::max(R, C));
    partner = solver.solve();
    if (partner.empty()) outcome[1] = solver.stuck();
  }
  std::iota(rows, rows + pairs, 0);
  std::iota(columns, columns + pairs, 0);
  if (!partner.empty() && R <= C) {
    std::copy(partner.begin(), partner.end(), columns);
  } else if (!partner.empty()) {
    std::sort(columns, columns + pairs, [&](i64 a, i64 b) { return partner[a] < partner[b]; });
    for (i64 k = 0; k < pairs; ++k) rows[k] = partner[columns[k]];
  }
  for (i64 k = 0; k < pairs; ++k) {
    rows[k] += problem.first_row;
    columns[k] += problem.first_column;
  }
}

void linear_sum_assignment_cpu(std::span<const AssignmentProblem> problems, bool maximize, Tensor& outcomes,
                               Tensor& rows, Tensor& columns) {
  dispatch_float(problems[0].cost.dtype(), "linear_sum_assignment", [&]<class T>() {
    i64 *outcome = outcomes.data<i64>(), *row = rows.data<i64>(), *column = columns.data<i64>();
    for (const AssignmentProblem& problem : problems) {
      solve<T>(problem, maximize, outcome, row, column);
      const i64 pairs = std::min(problem.cost.dim(0), problem.cost.dim(1));
      outcome += 2, row += pairs, column += pairs;
    }
  });
}

void indicator_matrix_cpu(const Tensor& rows, const Tensor& columns, Tensor& y) {
  const i64 *row = rows.data<i64>(), *column = columns.data<i64>(), R = y.dim(0), C = y.dim(1);
  for (i64 k = 0; k < rows.numel(); ++k) {
    TESSERA_CHECK(0 <= row[k] && row[k] < R && 0 <= column[k] && column[k] < C,
                  "indicator_matrix: pair {} is ({}, {}), outside {}", k, row[k], column[k], y.shape());
    y.data<float>()[row[k] * C + column[k]] = 1;
  }
}

[[maybe_unused]] const bool kAdded[] = {
    linear_sum_assignment_kernels.add(DeviceKind::kCpu, linear_sum_assignment_cpu),
    indicator_matrix_kernels.add(DeviceKind::kCpu, indicator_matrix_cpu),
};

}  // namespace

}  // namespace tessera::ops
