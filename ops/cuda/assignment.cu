// The assignment solver in CUDA, the algorithm of ops/cpu/assignment.cpp: the same arithmetic in double and the same
// choice among equals, so the same pairs.
//
// One block solves a problem; a thread has every T-th column. In each step of a search the threads relax their columns
// and find the nearest of all, whose ties one number per column decides; one thread then takes it into the tree.
// Latency limits it: a step waits for one row of costs and three barriers. What the search knows of the columns lies in
// global memory, where it stays in the first-level cache.
#include <algorithm>
#include <limits>
#include <utility>

#include "ops/assignment.h"
#include "tensor/cuda/launch.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kNone = -1;

// The matrix to be minimised, with at most as many rows as columns; no_cost: the first position that holds no cost.
__global__ void wide_costs_kernel(i64 R, i64 C, bool maximize, const float* cost, float* wide,
                                  unsigned long long* no_cost) {
  for (const i64 i : indices(R * C)) {
    const i64 from = R <= C ? i : i % R * C + i / R;
    const float value = maximize ? -cost[from] : cost[from];
    if (!(value > -INFINITY)) atomicMin(no_cost, static_cast<unsigned long long>(from));
    wide[i] = value;
  }
}

// Named as in ops/cpu/assignment.cpp.
struct Search {
  int rows, columns;
  const float* cost;                 // [rows, columns]
  double *row_price, *column_price;  // [rows], [columns]
  double* open_price;                // [columns]: the column's price; minus infinity while it is in the tree
  double *distance, *seen_distance;  // [columns] each, as all below
  int *previous_row, *row_of, *unseen, *place;
  int *seen_column, *seen_replacement;  // the tree's columns and those that took their places in the list
};

struct Nearest {
  double distance;
  int rank;  // among equal distances the lowest wins: free columns, the last in the list first, then the others in
             // order
  __device__ static Nearest of(const Nearest& a, const Nearest& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.rank < b.rank) ? a : b;
  }
};

// outcome: no_cost, stuck, then the column of each row; all -1 before.
__global__ void assignment_kernel(Search s, i64* outcome) {
  struct Shared {
    Nearest of_warp[kWarp];
  };
  Shared& shared = shared_memory<Shared>();
  if (outcome[0] != kNone) return;
  i64* const column_of = outcome + 2;
  const int t = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), C = s.columns;
  for (int row = t; row < s.rows; row += threads) s.row_price[row] = 0;
  for (int c = t; c < C; c += threads) {
    s.column_price[c] = s.open_price[c] = 0;
    s.row_of[c] = kNone;
    s.unseen[c] = s.place[c] = C - 1 - c;
  }
  __syncthreads();

  for (int root = 0; root < s.rows; ++root) {
    // Grow the tree until it reaches a free column, the sink.
    double reached = 0;
    int column = kNone, seen = 0;
    for (int c = t; c < C; c += threads) s.distance[c] = INFINITY;
    for (int row = root; row != kNone; ++seen) {
      Nearest nearest{INFINITY, 2 * C};
      for (int c = t; c < C; c += threads) {
        const double cost = s.cost[static_cast<i64>(row) * C + c];
        const double length = reached + cost - s.row_price[row] - s.open_price[c];
        if (length < s.distance[c]) {
          s.distance[c] = length;
          s.previous_row[c] = row;
        }
        const int rank = s.row_of[c] == kNone ? C - 1 - s.place[c] : C + s.place[c];
        nearest = Nearest::of(nearest, {s.distance[c], rank});
      }
      for (int offset = kWarp / 2; offset > 0; offset /= 2)
        nearest =
            Nearest::of(nearest, {warp_shuffle_xor(nearest.distance, offset), warp_shuffle_xor(nearest.rank, offset)});
      if (lane() == 0) shared.of_warp[warp()] = nearest;
      __syncthreads();
      for (int w = 0; w < threads / kWarp; ++w) nearest = Nearest::of(nearest, shared.of_warp[w]);
      reached = nearest.distance;
      if (reached == INFINITY) {
        if (t == 0) outcome[1] = root;
        return;
      }
      column = s.unseen[nearest.rank < C ? C - 1 - nearest.rank : nearest.rank - C];
      row = s.row_of[column];
      __syncthreads();
      if (t == 0) {
        const int last = s.unseen[C - 1 - seen];
        s.seen_column[seen] = column;
        s.seen_replacement[seen] = last;
        s.seen_distance[seen] = reached;
        if (row != kNone) {
          s.distance[column] = INFINITY;
          s.open_price[column] = -INFINITY;
          s.unseen[s.place[column]] = last;
          s.place[last] = s.place[column];
        }
      }
      __syncthreads();
    }
    // Move the prices, put the list back.
    for (int k = t; k < seen; k += threads) {
      const int c = s.seen_column[k];
      const double change = reached - s.seen_distance[k];
      if (s.row_of[c] != kNone) s.row_price[s.row_of[c]] += change;
      s.column_price[c] -= change;
      s.open_price[c] = s.column_price[c];
      for (const int moved : {c, s.seen_replacement[k]})
        s.unseen[C - 1 - moved] = moved, s.place[moved] = C - 1 - moved;
    }
    __syncthreads();
    // Flip the path.
    if (t == 0) {
      s.row_price[root] += reached;
      for (int row = kNone; row != root;) {
        row = s.previous_row[column];
        s.row_of[column] = row;
        const int before = static_cast<int>(column_of[row]);
        column_of[row] = column;
        column = before;
      }
    }
    __syncthreads();
  }
}

void linear_sum_assignment_cuda(const Tensor& cost, bool maximize, ops::Matching& matching) {
  const i64 R = cost.dim(0), C = cost.dim(1), rows = std::min(R, C), columns = std::max(R, C);
  TESSERA_CHECK(columns < std::numeric_limits<int>::max() / 2, "linear_sum_assignment: {} is too large", cost.shape());
  const Device device = cost.device();
  Tensor wide = Tensor::empty({rows, columns}, DType::kF32, device);
  Tensor outcome = Tensor::full({2 + rows}, kNone, DType::kI64, device);
  launch<wide_costs_kernel>(over(R * C), R, C, maximize, cost.device_data<float>(), wide.device_data<float>(),
                            reinterpret_cast<unsigned long long*>(outcome.device_data<i64>()));

  Tensor doubles = Tensor::empty({rows + 4 * columns}, DType::kF64, device);
  Tensor integers = Tensor::empty({6 * columns}, DType::kI32, device);
  double* d = doubles.device_data<double>();
  int* n = integers.device_data<std::int32_t>();
  const auto next = [=](auto*& memory, i64 count) { return std::exchange(memory, memory + count); };
  const Search search{.rows = static_cast<int>(rows),
                      .columns = static_cast<int>(columns),
                      .cost = wide.device_data<float>(),
                      .row_price = next(d, rows),
                      .column_price = next(d, columns),
                      .open_price = next(d, columns),
                      .distance = next(d, columns),
                      .seen_distance = next(d, columns),
                      .previous_row = next(n, columns),
                      .row_of = next(n, columns),
                      .unseen = next(n, columns),
                      .place = next(n, columns),
                      .seen_column = next(n, columns),
                      .seen_replacement = next(n, columns)};
  constexpr i64 kMostThreads = 1024;
  const i64 threads = std::min(ceil_div(columns, kWarp) * kWarp, kMostThreads);
  launch<assignment_kernel>(Launch{.grid = 1, .block = static_cast<unsigned>(threads)}, search,
                            outcome.device_data<i64>());

  const Tensor found = outcome.to_host();
  const std::span<const i64> values = found.span<i64>();
  matching.no_cost = values[0];
  matching.stuck = values[1];
  if (matching.no_cost < 0 && matching.stuck < 0) matching.partner.assign(values.begin() + 2, values.end());
}

[[maybe_unused]] const bool kAdded = ops::linear_sum_assignment_kernels.add(kDevice, linear_sum_assignment_cuda);

}  // namespace

}  // namespace tessera
