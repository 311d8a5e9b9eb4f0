// How a matrix product is cut into blocks for the tasks, from its shape alone, and the memory that a task needs.
#pragma once

#include <utility>
#include <vector>

#include "ops/cpu/gemm.h"
#include "ops/cpu/round.h"

namespace tessera::cpu {

// A piece of K: elements [offset, offset + depth) of the runs [run, run + runs).
struct DepthBlock {
  i64 run, runs, offset, depth;
};

template <class T>
struct GemmPlan {
  i64 panel, lanes;             // columns of a panel and of a vector
  i64 row_block, column_block;  // of C, per task
  i64 row_blocks, column_blocks;
  i64 splits = 1;                  // of K, each with its own partial C
  std::vector<DepthBlock> blocks;  // of K, in order; split s has [s * n / splits, (s + 1) * n / splits)
  i64 max_depth = 0;               // of a block
  bool keep_b;

  explicit GemmPlan(const Gemm<T>& gemm);

  i64 padded(i64 columns) const { return round_up(columns, lanes); }

 private:
  void cut_rows_and_columns(const Gemm<T>& gemm);
  void cut_depth(const Gemm<T>& gemm);
};

// The memory of one thread while it works on a task.
template <class T>
struct GemmWorkspace {
  i64 table, rows, residual, scratch, b, bytes = 0;  // offsets in bytes

  GemmWorkspace(const Gemm<T>& gemm, const GemmPlan<T>& plan) {
    const auto take = [this](i64 size) { return std::exchange(bytes, bytes + round_up(size, 256)); };
    const i64 element = sizeof(T), pointer = sizeof(T*);
    table = take(gemm.a_rows ? plan.row_block * gemm.runs * pointer : 0);
    rows = take(plan.row_block * pointer);
    residual = take(gemm.residual_rows ? plan.row_block * pointer : 0);
    scratch = take(plan.row_block * gemm.scratch_per_row * element);
    b = take(plan.keep_b || gemm.packed_b ? 0 : plan.padded(plan.column_block) * plan.max_depth * element);
  }
};

}  // namespace tessera::cpu
