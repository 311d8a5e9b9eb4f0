// Products on a tile unit. As in gemm.cpp blocks of C are the tasks of the threads, cut from the shape alone:
//
//   B is split into parts: beforehand, or once for all blocks of rows where it may be kept, else by every task for
//   itself;
//   a task takes a block of C, a piece of K after the other: splits its rows of A, multiplies, and keeps its sums in a
//   block of f32 in the second-level cache; at the end bias and ReLU go over them into C.
//
// The runs of A are padded to whole steps of kTileDepth with zeros, and so is B.
#include "ops/cpu/bf16_gemm.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "ops/cpu/bf16_parts.h"
#include "ops/precision.h"
#include "tensor/tensor.h"

namespace tessera::cpu {

namespace {

constexpr i64 kRows = 128, kColumns = 256, kSteps = 8;  // of a block of C, and of K at a time: 0.4 MB in three parts
constexpr i64 kTasks = 8;                               // enough to keep the threads of a small machine busy
constexpr i64 kLeastRows = 16, kLeastColumns = 16, kLeastDepth = 32;  // below, most of every tile is padding
constexpr i64 kHighestDepth = 256, kHighestRows = 128;  // from here on the work on the parts pays at kHighest

struct Cut {
  i64 row_block, column_block;  // of C, per task
  i64 row_blocks, column_blocks;
  i64 a_stride;  // numbers of a pair of row tiles in one piece of K
  bool keep_b;

  Cut(const Gemm<float>& gemm, int parts, bool has_split_b) {
    row_blocks = ceil_div(gemm.rows, kRows);
    column_blocks = ceil_div(gemm.columns, kColumns);
    const auto missing = [&] { return gemm.items * row_blocks * column_blocks < kTasks; };
    while (missing() && gemm.columns / (2 * column_blocks) >= 2 * kTileBlock) column_blocks *= 2;
    while (missing() && gemm.rows / (2 * row_blocks) >= kTileBlock) row_blocks *= 2;
    row_block = round_up(ceil_div(gemm.rows, row_blocks), kTileBlock);
    column_block = round_up(ceil_div(gemm.columns, column_blocks), kTileBlock);
    row_blocks = ceil_div(gemm.rows, row_block);
    column_blocks = ceil_div(gemm.columns, column_block);
    a_stride = kSteps * parts * kTilePair;
    keep_b = gemm.keep_b && row_blocks > 1 && !has_split_b;
  }
};

// The memory of one thread while it works on a task.
struct Workspace {
  i64 table, scratch, rows, residual, c, a, b, bytes = 0;  // offsets in bytes

  Workspace(const Gemm<float>& gemm, const Cut& cut, bool own_b) {
    const auto take = [this](i64 size) { return std::exchange(bytes, bytes + round_up(size, 256)); };
    const i64 element = sizeof(float), pointer = sizeof(float*), part = sizeof(u16);
    table = take(gemm.a_rows ? round_up(cut.row_block, kTileRows) * gemm.runs * pointer : 0);
    scratch = take((gemm.a_rows ? cut.row_block * gemm.scratch_per_row : kTileBlock * kTileDepth) * element);
    rows = take(cut.row_block * pointer);
    residual = take(gemm.residual_rows ? cut.row_block * pointer : 0);
    c = take(cut.row_block * cut.column_block * element);
    a = take(cut.row_block / kTileBlock * cut.a_stride * part);
    b = take(own_b ? cut.column_block / kTileBlock * cut.a_stride * part : 0);
  }
};

// Rows of A for one task: where each begins, or a transposed copy of a step.
struct Rows {
  const Gemm<float>& gemm;
  const Bf16Steps& steps;
  i64 item, row, count;
  const float** table;
  float* scratch;

  Rows(const Gemm<float>& g, const Bf16Steps& s, i64 item_, i64 row_, i64 count_, const float** t, float* made)
      : gemm(g), steps(s), item(item_), row(row_), count(count_), table(t), scratch(made) {
    if (gemm.a_rows) gemm.a_rows(item, row, count, table, scratch);
  }

  // rows [begin, begin + kTileBlock) of the task at one step; null beyond its end.
  void at(i64 begin, i64 step, const float** rows) {
    const i64 live = std::min(kTileBlock, count - begin), run = steps.run(step), offset = steps.offset(step);
    std::fill(rows, rows + kTileBlock, nullptr);
    if (gemm.a_columns) {
      const float* from = gemm.a_columns + item * gemm.a_item_stride + offset * gemm.a_step + row + begin;
      simd::gemm_kernels.get<float>().transpose(from, gemm.a_step, steps.width(step), live, scratch, kTileDepth);
      for (i64 i = 0; i < live; ++i) rows[i] = scratch + i * kTileDepth;
      return;
    }
    for (i64 i = 0; i < live; ++i) {
      const i64 r = begin + i;
      rows[i] = table[(r / kTileRows * gemm.runs + run) * kTileRows + r % kTileRows] + offset;
    }
  }
};

// The part of the product that is the block of rows and columns, as a product of its own.
Gemm<float> part_of(const Gemm<float>& gemm, const PackB& pack_b, i64 item, i64 row, i64 rows, i64 column,
                    i64 columns) {
  Gemm<float> part = gemm;
  part.items = 1;
  part.rows = rows;
  part.columns = columns;
  part.keep_b = false;
  if (gemm.a_rows)
    part.a_rows = [&gemm, item, row](i64, i64 r, i64 count, const float** table, float* scratch) {
      gemm.a_rows(item, row + r, count, table, scratch);
    };
  if (gemm.a_columns) part.a_columns += item * gemm.a_item_stride + row;
  part.packed_b = nullptr;
  part.pack_b = [&pack_b, item, column](i64, i64 k, i64 depth, i64 j, i64 count, float* out, i64 stride) {
    pack_b(item, k, depth, column + j, count, out, stride);
  };
  part.c_rows = [&gemm, item, row, column](i64, i64 r, i64 count, float** c) {
    gemm.c_rows(item, row + r, count, c);
    for (i64 i = 0; i < count; ++i) c[i] += column;
  };
  if (gemm.bias) part.bias += item * gemm.columns + column;
  if (gemm.residual_rows)
    part.residual_rows = [&gemm, item, row, column](i64, i64 r, i64 count, const float** residual) {
      gemm.residual_rows(item, row + r, count, residual);
      for (i64 i = 0; i < count; ++i) residual[i] += column;
    };
  return part;
}

}  // namespace

int bf16_parts(const Gemm<float>& gemm) {
  if (!has_tiles()) return 0;
  if (gemm.rows < kLeastRows || gemm.columns < kLeastColumns || gemm.depth() < kLeastDepth) return 0;
  switch (precision()) {
    case Precision::kHigh:
      return 2;
    case Precision::kMedium:
      return 1;
    case Precision::kHighest:
      break;
  }
  return gemm.depth() >= kHighestDepth && gemm.rows >= kHighestRows ? 3 : 0;
}

namespace {

// One product: what all tasks share.
struct Product {
  const Gemm<float>& gemm;
  const int parts;
  const simd::Bf16Kernels& kernels;
  const PackB pack_b;
  const Bf16Steps steps{gemm};
  const Cut cut;
  const SplitB layout{gemm, steps, parts};
  const u16* whole_b;  // null: each task splits its part
  const Workspace offsets{gemm, cut, !whole_b};
  std::vector<std::atomic<bool>> finite_b =
      std::vector<std::atomic<bool>>(static_cast<size_t>(gemm.items * cut.column_blocks));

  // All of B, by all threads of the team.
  void split_b(u16* kept) {
#pragma omp for schedule(dynamic)
    for (i64 job = 0; job < gemm.items * layout.pairs; ++job) {
      const i64 item = job / layout.pairs, pair = job % layout.pairs;
      if (!split_pair(gemm, kernels, steps, parts, layout, item, pair, kept))
        finite_b[static_cast<size_t>(item * cut.column_blocks + pair * kTileBlock / cut.column_block)] = false;
    }
  }

  struct Block {
    i64 item, row, rows, column, columns;
  };
  Block block(i64 task) const {
    const i64 row = task % cut.row_blocks * cut.row_block, rest = task / cut.row_blocks;
    const i64 column = rest % cut.column_blocks * cut.column_block, item = rest / cut.column_blocks;
    return {item, row, std::min(cut.row_block, gemm.rows - row), column,
            std::min(cut.column_block, gemm.columns - column)};
  }

  // The sums of a block, in the task's memory. Returns whether all that it read is finite.
  bool multiply(const Block& block, std::byte* memory) const {
    u16 *const a = reinterpret_cast<u16*>(memory + offsets.a), *const own_b =
                                                                   reinterpret_cast<u16*>(memory + offsets.b);
    const i64 row_pairs = ceil_div(block.rows, kTileBlock), column_pairs = ceil_div(block.columns, kTileBlock);
    bool finite = finite_b[static_cast<size_t>(block.item * cut.column_blocks + block.column / cut.column_block)];
    Rows a_rows(gemm, steps, block.item, block.row, block.rows, reinterpret_cast<const float**>(memory + offsets.table),
                reinterpret_cast<float*>(memory + offsets.scratch));
    for (i64 first = 0; first < steps.count && finite; first += kSteps) {
      const i64 last = std::min(first + kSteps, steps.count);
      for (i64 i = 0; i < row_pairs; ++i)
        for (i64 step = first; step < last; ++step) {
          const float* at[kTileBlock];
          a_rows.at(i * kTileBlock, step, at);
          finite &= kernels.split_rows(at, steps.width(step), parts,
                                       a + i * cut.a_stride + (step - first) * parts * kTilePair);
        }
      const u16* b = own_b;
      if (whole_b) {
        b = whole_b + (block.item * layout.pairs + block.column / kTileBlock) * layout.pair_numbers +
            first * parts * kTilePair;
      } else {
        finite &= split_columns(gemm, kernels, steps, parts, block.item, block.column, block.columns, first, last,
                                cut.a_stride, own_b);
      }
      kernels.multiply({.row_pairs = row_pairs,
                        .column_pairs = column_pairs,
                        .steps = last - first,
                        .a = a,
                        .b = b,
                        .a_stride = cut.a_stride,
                        .b_stride = whole_b ? layout.pair_numbers : cut.a_stride,
                        .c = reinterpret_cast<float*>(memory + offsets.c),
                        .c_pitch = cut.column_block,
                        .accumulate = first > 0},
                       parts);
    }
    return finite;
  }

  // Bias, residual and ReLU, into C.
  void finish(const Block& block, std::byte* memory) const {
    const float* const c = reinterpret_cast<const float*>(memory + offsets.c);
    float** const c_rows = reinterpret_cast<float**>(memory + offsets.rows);
    const float** const residual_rows = reinterpret_cast<const float**>(memory + offsets.residual);
    gemm.c_rows(block.item, block.row, block.rows, c_rows);
    if (gemm.residual_rows) gemm.residual_rows(block.item, block.row, block.rows, residual_rows);
    const float* bias = gemm.bias ? gemm.bias + block.item * gemm.columns + block.column : nullptr;
    for (i64 i = 0; i < block.rows; ++i)
      kernels.finish_row(c + i * cut.column_block, bias, gemm.residual_rows ? residual_rows[i] + block.column : nullptr,
                         gemm.relu, gemm.ceiling, block.columns, c_rows[i] + block.column);
  }
};

}  // namespace

void run_in_parts(const Gemm<float>& gemm, int parts, const u16* split_b, const simd::Bf16Kernels& kernels) {
  if (gemm.items == 0 || gemm.rows == 0 || gemm.columns == 0) return;
  if (gemm.depth() == 0) return run_exactly(gemm);
  const Cut cut(gemm, parts, split_b);
  Tensor kept;
  if (cut.keep_b) kept = Tensor::empty({split_b_size(gemm, parts) * i64{sizeof(u16)}}, DType::kU8);
  u16* const kept_b = cut.keep_b ? reinterpret_cast<u16*>(kept.raw()) : nullptr;
  Product product{.gemm = gemm,
                  .parts = parts,
                  .kernels = kernels,
                  .pack_b = split_b ? pack_b_from_parts(gemm, Bf16Steps(gemm), parts, split_b) : gemm.pack_b,
                  .cut = cut,
                  .whole_b = split_b ? split_b : kept_b};
  for (std::atomic<bool>& finite : product.finite_b) finite = true;
  const i64 tasks = gemm.items * cut.row_blocks * cut.column_blocks;
  const int threads = static_cast<int>(std::min<i64>(tasks, omp_get_max_threads()));
  Tensor workspace = Tensor::empty({threads, product.offsets.bytes}, DType::kU8);

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    if (cut.keep_b) product.split_b(kept_b);
    std::byte* const memory =
        reinterpret_cast<std::byte*>(workspace.raw()) + omp_get_thread_num() * product.offsets.bytes;
#pragma omp for schedule(dynamic)
    for (i64 task = 0; task < tasks; ++task) {
      const Product::Block block = product.block(task);
      if (product.multiply(block, memory)) {
        product.finish(block, memory);
      } else {
        run_exactly(part_of(gemm, product.pack_b, block.item, block.row, block.rows, block.column, block.columns));
      }
    }
  }
}

}  // namespace tessera::cpu
