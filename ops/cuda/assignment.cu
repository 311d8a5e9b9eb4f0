// The assignment solver in CUDA, the algorithm of ops/cpu/assignment.cpp: the same arithmetic in double and the same
// choice among equals, so the same pairs.
//
// A block solves a problem, and the problems of a batch, which travel in the launch's parameters, are one launch; a
// thread has every T-th column. In each step of a search the threads relax their columns and find the nearest of all,
// whose ties one number per column decides; one thread then takes it into the tree. At the end the pairs are written in
// the order of their rows. Latency limits it: a step waits for one row of costs and three barriers. What a search knows
// lies in global memory, where it stays in the first-level cache.
#include <algorithm>
#include <limits>
#include <vector>

#include "ops/assignment.h"
#include "ops/scalar/assignment.h"
#include "tensor/cuda/launch.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kNone = -1;

// Costs, what is added to the pairs, and where the problem lies in the other arrays, in elements of each.
struct Problem {
  const float* cost;
  i64 R, C, first_row, first_column;
  i64 wide, doubles, integers, pairs;
};
struct Problems {
  static constexpr size_t kMost = 48;  // a launch has 4 KB of parameters
  Problem of[kMost];
};

// Named as in ops/cpu/assignment.cpp. The matrix has at most as many rows as columns.
struct Search {
  static constexpr i64 kDoublesPerColumn = 4, kIntegersPerColumn = 5;  // besides, one of each per row
  __device__ Search(i64 rows_, i64 columns_, float* cost_, double* doubles, int* integers)
      : rows(static_cast<int>(rows_)),
        columns(static_cast<int>(columns_)),
        cost(cost_),
        column_price(doubles),
        open_price(doubles + columns_),
        distance(doubles + 2 * columns_),
        seen_distance(doubles + 3 * columns_),
        row_price(doubles + 4 * columns_),
        previous_row(integers),
        row_of(integers + columns_),
        unseen(integers + 2 * columns_),
        place(integers + 3 * columns_),
        seen_column(integers + 4 * columns_),
        column_of(integers + 5 * columns_) {}
  int rows, columns;
  float* cost;                        // [rows, columns], to be minimised
  double *column_price, *open_price;  // the second: minus infinity while the column is in the tree
  double *distance, *seen_distance, *row_price;
  int *previous_row, *row_of, *unseen, *place;
  int *seen_column, *column_of;  // the first: the tree's columns
};

// Among equal distances the lowest rank wins: free columns, the last in the list first, then the others in its order.
struct Nearest {
  double distance;
  int rank;
  __device__ static Nearest of(const Nearest& a, const Nearest& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.rank < b.rank) ? a : b;
  }
};

struct Shared {
  Nearest of_warp[kWarp];
  unsigned long long no_cost;
};

// The nearest of all threads' columns, in all threads.
__device__ Nearest block_nearest(Nearest nearest, Shared& shared) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    nearest =
        Nearest::of(nearest, {warp_shuffle_xor(nearest.distance, offset), warp_shuffle_xor(nearest.rank, offset)});
  if (lane() == 0) shared.of_warp[warp()] = nearest;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) nearest = Nearest::of(nearest, shared.of_warp[w]);
  return nearest;
}

// What a thread has of 0 ... count - 1.
struct Own {
  int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
};

// The matrix to be minimised, and prices and pairs before the first row. Returns where the problem's first value that
// is no cost lies, or kNone.
__device__ i64 begin_search(const Problem& p, bool maximize, const Search& s, Shared& shared) {
  constexpr unsigned long long kAllGood = ~0ull;
  const Own own;
  if (threadIdx.x == 0) shared.no_cost = kAllGood;
  __syncthreads();
  for (i64 i = own.first; i < p.R * p.C; i += own.step) {
    const i64 from = p.R <= p.C ? i : i % p.R * p.C + i / p.R;
    const float value = p.cost[from];
    s.cost[i] = maximize ? -value : value;
    if (!(s.cost[i] > -INFINITY)) atomicMin(&shared.no_cost, static_cast<unsigned long long>(from));
  }
  for (int row = own.first; row < s.rows; row += own.step) {
    s.row_price[row] = 0;
    s.column_of[row] = kNone;
  }
  for (int c = own.first; c < s.columns; c += own.step) {
    s.column_price[c] = s.open_price[c] = 0;
    s.row_of[c] = kNone;
  }
  __syncthreads();
  return shared.no_cost == kAllGood ? kNone : static_cast<i64>(shared.no_cost);
}

// A tree that has grown from its root: the free column that it reached, or kNone, how far that is, and how many columns
// it has.
struct Tree {
  int sink, seen;
  double reached;
};

// A row joins the tree: the threads' columns over it, and the nearest of them.
__device__ Nearest relax(const Search& s, int row, double reached) {
  const Own own;
  const int C = s.columns;
  Nearest nearest{INFINITY, 2 * C};
  for (int c = own.first; c < C; c += own.step) {
    const double cost = s.cost[static_cast<i64>(row) * C + c];
    const double length = scalar::path_length(reached, cost, s.row_price[row], s.open_price[c]);
    if (length < s.distance[c]) {
      s.distance[c] = length;
      s.previous_row[c] = row;
    }
    nearest = Nearest::of(nearest, {s.distance[c], scalar::tie_rank(s.place[c], s.row_of[c] == kNone, C)});
  }
  return nearest;
}

__device__ Tree grow_tree(const Search& s, int root, Shared& shared) {
  const Own own;
  const int C = s.columns;
  Tree tree{kNone, 0, 0};
  for (int c = own.first; c < C; c += own.step) {
    s.distance[c] = INFINITY;
    s.unseen[c] = s.place[c] = C - 1 - c;
  }
  for (int row = root; row != kNone; ++tree.seen) {
    const Nearest nearest = block_nearest(relax(s, row, tree.reached), shared);
    tree.reached = nearest.distance;
    if (tree.reached == INFINITY) return {kNone, 0, 0};
    const int column = s.unseen[nearest.rank < C ? C - 1 - nearest.rank : nearest.rank - C];
    row = s.row_of[column];
    tree.sink = column;
    __syncthreads();
    if (threadIdx.x == 0) {
      s.seen_column[tree.seen] = column;
      s.seen_distance[tree.seen] = tree.reached;
      if (row != kNone) {
        const int last = s.unseen[C - 1 - tree.seen];
        s.distance[column] = INFINITY;
        s.open_price[column] = -INFINITY;
        s.unseen[s.place[column]] = last;
        s.place[last] = s.place[column];
      }
    }
    __syncthreads();
  }
  return tree;
}

// Moves the prices, so that the tree's pairs cost nothing.
__device__ void move_prices(const Search& s, const Tree& tree) {
  const Own own;
  for (int k = own.first; k < tree.seen; k += own.step) {
    const int c = s.seen_column[k];
    const double change = tree.reached - s.seen_distance[k];
    if (s.row_of[c] != kNone) s.row_price[s.row_of[c]] += change;
    s.column_price[c] -= change;
    s.open_price[c] = s.column_price[c];
  }
}

// The pairs along the path from the root to the sink; one thread's work.
__device__ void flip(const Search& s, int root, const Tree& tree) {
  s.row_price[root] += tree.reached;
  for (int row = kNone, column = tree.sink; row != root;) {
    row = s.previous_row[column];
    s.row_of[column] = row;
    const int before = s.column_of[row];
    s.column_of[row] = column;
    column = before;
  }
}

// In the order of the problem's rows.
__device__ void write_pairs(const Problem& p, const Search& s, i64* rows, i64* columns) {
  const Own own;
  if (p.R <= p.C) {
    for (int row = own.first; row < s.rows; row += own.step) columns[row] = p.first_column + s.column_of[row];
    return;
  }
  // The matrix was turned: its columns are the problem's rows. A pair's place is the number of matched ones before it.
  for (int c = own.first; c < s.columns; c += own.step) {
    if (s.row_of[c] == kNone) continue;
    int place = 0;
    for (int before = 0; before < c; ++before) place += s.row_of[before] != kNone;
    rows[place] = p.first_row + c;
    columns[place] = p.first_column + s.row_of[c];
  }
}

__global__ void assignment_kernel(Problems problems, bool maximize, float* wide_costs, double* doubles, int* integers,
                                  i64* outcomes, i64* rows, i64* columns) {
  Shared& shared = shared_memory<Shared>();
  const Own own;
  const Problem p = problems.of[blockIdx.x];
  const Search s(std::min(p.R, p.C), std::max(p.R, p.C), wide_costs + p.wide, doubles + p.doubles,
                 integers + p.integers);
  i64* const outcome = outcomes + 2 * blockIdx.x;
  rows += p.pairs, columns += p.pairs;
  for (int k = own.first; k < s.rows; k += own.step) {  // what a problem without a solution gets
    rows[k] = p.first_row + k;
    columns[k] = p.first_column + k;
  }
  const i64 no_cost = begin_search(p, maximize, s, shared);
  if (threadIdx.x == 0) outcome[0] = no_cost, outcome[1] = kNone;
  if (no_cost != kNone) return;
  for (int root = 0; root < s.rows; ++root) {
    const Tree tree = grow_tree(s, root, shared);
    if (tree.sink == kNone) {
      if (threadIdx.x == 0) outcome[1] = root;
      return;
    }
    move_prices(s, tree);
    __syncthreads();
    if (threadIdx.x == 0) flip(s, root, tree);
    __syncthreads();
  }
  write_pairs(p, s, rows, columns);
}

void linear_sum_assignment_cuda(std::span<const ops::AssignmentProblem> problems, bool maximize, Tensor& outcomes,
                                Tensor& rows, Tensor& columns) {
  std::vector<Problem> list;
  i64 wide = 0, doubles = 0, integers = 0, pairs = 0, most = 0;
  for (const auto& [cost, first_row, first_column] : problems) {
    const i64 R = cost.dim(0), C = cost.dim(1), shorter = std::min(R, C), longer = std::max(R, C);
    list.push_back({cost.device_data<float>(), R, C, first_row, first_column, wide, doubles, integers, pairs});
    wide += R * C;
    doubles += shorter + Search::kDoublesPerColumn * longer;
    integers += shorter + Search::kIntegersPerColumn * longer;
    pairs += shorter;
    most = std::max(most, longer);
  }
  TESSERA_CHECK(most < std::numeric_limits<int>::max() / 2, "linear_sum_assignment: {} rows or columns are too many",
                most);
  const Device device = rows.device();
  Tensor wide_memory = Tensor::empty({wide}, DType::kF32, device);
  Tensor double_memory = Tensor::empty({doubles}, DType::kF64, device);
  Tensor integer_memory = Tensor::empty({integers}, DType::kI32, device);
  const i64 threads = std::min(ceil_div(most, kWarp) * kWarp, i64{kMostThreads});
  for (size_t begin = 0; begin < list.size(); begin += Problems::kMost) {
    const size_t count = std::min(list.size() - begin, Problems::kMost);
    Problems part;
    std::copy_n(list.begin() + static_cast<std::ptrdiff_t>(begin), count, part.of);
    launch<assignment_kernel>(Launch{.grid = static_cast<unsigned>(count), .block = static_cast<unsigned>(threads)},
                              part, maximize, wide_memory.device_data<float>(), double_memory.device_data<double>(),
                              integer_memory.device_data<i32>(), outcomes.device_data<i64>() + 2 * begin,
                              rows.device_data<i64>(), columns.device_data<i64>());
  }
}

__global__ void indicator_matrix_kernel(i64 pairs, i64 R, i64 C, const i64* rows, const i64* columns, float* y) {
  for (const i64 k : indices(pairs))
    if (0 <= rows[k] && rows[k] < R && 0 <= columns[k] && columns[k] < C)
      atomicExch(&y[rows[k] * C + columns[k]], 1.0f);  // a pair may come twice
}

void indicator_matrix_cuda(const Tensor& rows, const Tensor& columns, Tensor& y) {
  launch<indicator_matrix_kernel>(over(rows.numel()), rows.numel(), y.dim(0), y.dim(1), rows.device_data<i64>(),
                                  columns.device_data<i64>(), y.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::linear_sum_assignment_kernels.add(kDevice, linear_sum_assignment_cuda),
    ops::indicator_matrix_kernels.add(kDevice, indicator_matrix_cuda),
};

}  // namespace

}  // namespace tessera
