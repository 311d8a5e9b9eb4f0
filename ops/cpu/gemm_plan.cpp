#include "ops/cpu/gemm_plan.h"

#include <algorithm>

namespace tessera::cpu {

namespace {

// Blocks of C of kMaxRows x kMaxColumns, summed over kLongest elements of each row of A at a time: A's and B's part and
// the block of C stay together in the second-level cache.
constexpr i64 kMaxRows = 144, kMaxColumns = 256;
template <class T>
constexpr i64 kLongest = 1024 / static_cast<i64>(sizeof(T));
constexpr i64 kScratchBytes = 512 << 10;  // for rows of A that a task makes itself
constexpr i64 kTasks = 16;                // enough for the threads of a small machine to end at about the same time
constexpr i64 kFewTasks = 8;              // enough to keep them busy
constexpr double kTaskWork = 2e6;         // multiply-adds below which another task does not pay
constexpr i64 kSplitDepth = 1024;         // partial sums over K are at least this long

}  // namespace

template <class T>
GemmPlan<T>::GemmPlan(const Gemm<T>& gemm)
    : panel(simd::gemm_kernels.get<T>().panel_columns), lanes(simd::gemm_kernels.get<T>().lanes) {
  cut_rows_and_columns(gemm);
  cut_depth(gemm);
  keep_b = gemm.keep_b && row_blocks > 1 && !gemm.packed_b;
}

template <class T>
void GemmPlan<T>::cut_rows_and_columns(const Gemm<T>& gemm) {
  const i64 scratch_rows = kScratchBytes / std::max<i64>(1, gemm.scratch_per_row * static_cast<i64>(sizeof(T)));
  // Every row block packs B again when it is not kept: make them larger then.
  const i64 max_rows = gemm.keep_b ? std::clamp<i64>(scratch_rows, 4 * kTileRows, kMaxRows) : 2 * kMaxRows;
  row_blocks = std::max<i64>(1, ceil_div(gemm.rows, max_rows));
  column_blocks = std::max<i64>(1, ceil_div(gemm.columns, kMaxColumns));
  const double work = double(gemm.items) * double(gemm.rows) * double(gemm.columns) * double(gemm.depth());
  i64 wanted = static_cast<i64>(std::clamp(work / kTaskWork, 1.0, double(kTasks)));
  const auto missing = [&] { return gemm.items * row_blocks * column_blocks * splits < wanted; };
  if (gemm.runs == 1 && gemm.rows * gemm.columns < gemm.run_depth * 64)
    while (missing() && gemm.run_depth / (2 * splits) >= kSplitDepth) splits *= 2;
  const auto cut_rows = [&] {
    while (missing() && gemm.rows / (2 * row_blocks) >= 6 * kTileRows) row_blocks *= 2;
  };
  const auto cut_columns = [&] {
    while (missing() && gemm.columns / (2 * column_blocks) >= panel) column_blocks *= 2;
  };
  // Narrow blocks cost little, low ones use each packed panel of B less often; but rows that are made for a task are
  // made again for each of its column blocks.
  if (gemm.scratch_per_row > 0) cut_rows();
  cut_columns();
  wanted = std::min(wanted, kFewTasks);
  cut_rows();
  row_block = round_up(std::max<i64>(1, ceil_div(gemm.rows, row_blocks)), kTileRows);  // no rows: B is packed alone
  row_blocks = ceil_div(gemm.rows, row_block);
  column_block = round_up(ceil_div(gemm.columns, column_blocks), panel);
  column_blocks = ceil_div(gemm.columns, column_block);
}

template <class T>
void GemmPlan<T>::cut_depth(const Gemm<T>& gemm) {
  if (gemm.runs > 1 && gemm.run_depth <= kLongest<T>) {  // whole runs, several at a time
    const i64 count = ceil_div(gemm.depth(), kLongest<T>), runs = ceil_div(gemm.runs, count);
    for (i64 run = 0; run < gemm.runs; run += runs)
      blocks.push_back({run, std::min(runs, gemm.runs - run), 0, gemm.run_depth});
  } else {  // pieces of each run
    // Equal splits, unless B was cut before the number of rows was known.
    const i64 piece = depth_piece<T>(gemm.run_depth, gemm.packed_b ? 1 : splits);
    for (i64 run = 0; run < gemm.runs; ++run)
      for (i64 offset = 0; offset < gemm.run_depth; offset += piece)
        blocks.push_back({run, 1, offset, std::min(piece, gemm.run_depth - offset)});
  }
  if (blocks.empty()) blocks.push_back({0, 0, 0, 0});  // K = 0: C is the bias
  splits = std::min(splits, static_cast<i64>(blocks.size()));
  for (const DepthBlock& block : blocks) max_depth = std::max(max_depth, block.runs * block.depth);
}

template <class T>
i64 depth_piece(i64 depth, i64 splits) {
  const i64 pieces = round_up(std::max<i64>(1, ceil_div(depth, kLongest<T>)), splits);
  return round_up(ceil_div(depth, pieces), 4);
}

template i64 depth_piece<float>(i64, i64);
template i64 depth_piece<double>(i64, i64);
template struct GemmPlan<float>;
template struct GemmPlan<double>;

}  // namespace tessera::cpu
