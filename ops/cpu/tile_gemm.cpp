// Products on a tile unit. As in gemm.cpp blocks of C are the tasks of the threads, cut from the shape alone:
//
//   B is split into parts, once for all blocks of rows where it may be kept, else by every task for itself;
//   a task takes a block of C, a piece of K after the other: splits its rows of A, multiplies, and keeps its sums in a
//   block of f32 in the second-level cache; at the end bias and ReLU go over them into C.
//
// The taps of A are padded to whole steps of kTileDepth with zeros, and so is B.
#include "ops/cpu/tile_gemm.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "ops/cpu/round.h"
#include "ops/cpu/simd/tiles.h"
#include "ops/precision.h"
#include "tensor/tensor.h"

namespace tessera::cpu {

namespace {

using u16 = std::uint16_t;

constexpr i64 kRows = 128, kColumns = 256, kSteps = 8;  // of a block of C, and of K at a time: 0.4 MB in three parts
constexpr i64 kTasks = 8;                               // enough to keep the threads of a small machine busy
constexpr i64 kLeastRows = 16, kLeastColumns = 16, kLeastDepth = 32;  // below, most of every tile is padding
constexpr i64 kHighestDepth = 256, kHighestRows = 128;  // from here on the work on the parts pays at kHighest

const TileKernels& tile_kernels() {
  static const TileKernels kernels = [] {
    TileKernels result;
    tile_kernels_table.get()(result);
    return result;
  }();
  return kernels;
}

struct Cut {
  i64 steps_per_tap, steps;     // of K
  i64 row_block, column_block;  // of C, per task
  i64 row_blocks, column_blocks;
  i64 a_stride;  // numbers of a pair of row tiles in one piece of K
  bool keep_b;

  Cut(const Gemm<float>& gemm, int parts)
      : steps_per_tap(ceil_div(gemm.tap_depth, kTileDepth)), steps(gemm.taps * steps_per_tap) {
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
    keep_b = gemm.keep_b && row_blocks > 1;
  }

  i64 tap(i64 step) const { return step / steps_per_tap; }
  i64 offset(i64 step) const { return step % steps_per_tap * kTileDepth; }  // in its tap
  i64 width(const Gemm<float>& gemm, i64 step) const { return std::min(kTileDepth, gemm.tap_depth - offset(step)); }
};

// B's columns [column, column + count), steps [first, last), as [pair of column tiles][step][part][2 tiles], the pairs
// `stride` numbers apart. Returns whether all is finite.
bool split_b(const Gemm<float>& gemm, const Cut& cut, int parts, i64 item, i64 column, i64 count, i64 first, i64 last,
             i64 stride, u16* tiles) {
  bool finite = true;
  for (i64 step = first; step < last; ++step) {
    const i64 width = cut.width(gemm, step), k = cut.tap(step) * gemm.tap_depth + cut.offset(step);
    for (i64 j = 0; j < count; j += kTileBlock) {
      float x[kTileDepth * kTileBlock] = {};
      gemm.pack_b(item, k, width, column + j, std::min(kTileBlock, count - j), x, kTileBlock);
      u16* to = tiles + j / kTileBlock * stride + (step - first) * parts * kTilePair;
      finite &= tile_kernels().split_columns(x, kTileBlock, parts, to);
    }
  }
  return finite;
}

// Rows of A for one task: where each begins, or a transposed copy of a step.
struct Rows {
  const Gemm<float>& gemm;
  const Cut& cut;
  i64 item, row, count;
  std::vector<const float*> table;
  std::vector<float> scratch;

  Rows(const Gemm<float>& g, const Cut& c, i64 item_, i64 row_, i64 count_)
      : gemm(g), cut(c), item(item_), row(row_), count(count_) {
    if (gemm.a_columns) {
      scratch.resize(static_cast<size_t>(kTileBlock * kTileDepth));
      return;
    }
    table.resize(static_cast<size_t>(round_up(count, kTileRows) * gemm.taps));
    scratch.resize(static_cast<size_t>(count * gemm.scratch_per_row));
    gemm.a_rows(item, row, count, table.data(), scratch.data());
  }

  // rows [begin, begin + kTileBlock) of the task at one step; null beyond its end.
  void at(i64 begin, i64 step, const float** rows) {
    const i64 live = std::min(kTileBlock, count - begin), tap = cut.tap(step), offset = cut.offset(step);
    std::fill(rows, rows + kTileBlock, nullptr);
    if (gemm.a_columns) {
      const float* from = gemm.a_columns + item * gemm.a_item_stride + offset * gemm.a_step + row + begin;
      gemm_kernels<float>().transpose(from, gemm.a_step, cut.width(gemm, step), live, scratch.data(), kTileDepth);
      for (i64 i = 0; i < live; ++i) rows[i] = scratch.data() + i * kTileDepth;
      return;
    }
    for (i64 i = 0; i < live; ++i) {
      const i64 r = begin + i;
      rows[i] = table[static_cast<size_t>((r / kTileRows * gemm.taps + tap) * kTileRows + r % kTileRows)] + offset;
    }
  }
};

// The part of the product that is the block of rows and columns, as a product of its own.
Gemm<float> part_of(const Gemm<float>& gemm, i64 item, i64 row, i64 rows, i64 column, i64 columns) {
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
  part.pack_b = [&gemm, item, column](i64, i64 k, i64 depth, i64 j, i64 count, float* out, i64 stride) {
    gemm.pack_b(item, k, depth, column + j, count, out, stride);
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

int tile_parts(const Gemm<float>& gemm) {
  if (!has_tiles() || gemm.packed_b) return 0;
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

void run_tiles(const Gemm<float>& gemm, int parts) {
  if (gemm.items == 0 || gemm.rows == 0 || gemm.columns == 0) return;
  if (gemm.depth() == 0) return run_exactly(gemm);
  const Cut cut(gemm, parts);
  const i64 pair_numbers = cut.steps * parts * kTilePair;  // of B, all of K
  const i64 pairs = cut.column_block / kTileBlock * cut.column_blocks;
  Tensor kept;
  if (cut.keep_b) kept = Tensor::empty({gemm.items, pairs, pair_numbers * 2}, DType::kU8);
  u16* const kept_b = cut.keep_b ? reinterpret_cast<u16*>(kept.raw()) : nullptr;
  std::vector<std::atomic<bool>> finite_b(static_cast<size_t>(gemm.items * cut.column_blocks));
  for (std::atomic<bool>& finite : finite_b) finite = true;

  const i64 a_numbers = cut.row_block / kTileBlock * cut.a_stride,
            b_numbers = cut.keep_b ? 0 : cut.column_block / kTileBlock * cut.a_stride;
  const i64 tasks = gemm.items * cut.row_blocks * cut.column_blocks;
  const int threads = static_cast<int>(std::min<i64>(tasks, omp_get_max_threads()));
  Tensor workspace =
      Tensor::empty({threads, (a_numbers + b_numbers) * 2 + cut.row_block * cut.column_block * 4}, DType::kU8);

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    if (cut.keep_b) {
      const i64 block_pairs = cut.column_block / kTileBlock;
#pragma omp for schedule(dynamic)
      for (i64 job = 0; job < gemm.items * pairs; ++job) {
        const i64 item = job / pairs, pair = job % pairs, column = pair * kTileBlock;
        if (column >= gemm.columns) continue;
        const i64 count = std::min(kTileBlock, gemm.columns - column);
        if (!split_b(gemm, cut, parts, item, column, count, 0, cut.steps, pair_numbers, kept_b + job * pair_numbers))
          finite_b[static_cast<size_t>(item * cut.column_blocks + pair / block_pairs)] = false;
      }
    }
    std::byte* memory = reinterpret_cast<std::byte*>(workspace.raw()) + omp_get_thread_num() * workspace.dim(1);
    float* const c = reinterpret_cast<float*>(memory);
    u16* const a = reinterpret_cast<u16*>(c + cut.row_block * cut.column_block);
    u16* const own_b = a + a_numbers;
#pragma omp for schedule(dynamic)
    for (i64 task = 0; task < tasks; ++task) {
      const i64 row = task % cut.row_blocks * cut.row_block, rest = task / cut.row_blocks;
      const i64 column = rest % cut.column_blocks * cut.column_block, item = rest / cut.column_blocks;
      const i64 rows = std::min(cut.row_block, gemm.rows - row),
                columns = std::min(cut.column_block, gemm.columns - column);
      const i64 row_pairs = ceil_div(rows, kTileBlock), column_pairs = ceil_div(columns, kTileBlock);
      bool finite = finite_b[static_cast<size_t>(item * cut.column_blocks + column / cut.column_block)];
      Rows a_rows(gemm, cut, item, row, rows);
      for (i64 first = 0; first < cut.steps && finite; first += kSteps) {
        const i64 last = std::min(first + kSteps, cut.steps);
        for (i64 i = 0; i < row_pairs; ++i)
          for (i64 step = first; step < last; ++step) {
            const float* at[kTileBlock];
            a_rows.at(i * kTileBlock, step, at);
            finite &= tile_kernels().split_rows(at, cut.width(gemm, step), parts,
                                                a + i * cut.a_stride + (step - first) * parts * kTilePair);
          }
        const u16* b = own_b;
        if (cut.keep_b) {
          b = kept_b + (item * pairs + column / kTileBlock) * pair_numbers + first * parts * kTilePair;
        } else {
          finite &= split_b(gemm, cut, parts, item, column, columns, first, last, cut.a_stride, own_b);
        }
        tile_kernels().multiply({.row_pairs = row_pairs,
                                 .column_pairs = column_pairs,
                                 .steps = last - first,
                                 .a = a,
                                 .b = b,
                                 .a_stride = cut.a_stride,
                                 .b_stride = cut.keep_b ? pair_numbers : cut.a_stride,
                                 .c = c,
                                 .c_pitch = cut.column_block,
                                 .accumulate = first > 0},
                                parts);
      }
      if (!finite) {
        run_exactly(part_of(gemm, item, row, rows, column, columns));
        continue;
      }
      std::vector<float*> to(static_cast<size_t>(rows));
      std::vector<const float*> residual(static_cast<size_t>(rows), nullptr);
      gemm.c_rows(item, row, rows, to.data());
      if (gemm.residual_rows) gemm.residual_rows(item, row, rows, residual.data());
      const float* bias = gemm.bias ? gemm.bias + item * gemm.columns + column : nullptr;
      for (i64 i = 0; i < rows; ++i) {
        const float* added = residual[static_cast<size_t>(i)];
        tile_kernels().finish_row(c + i * cut.column_block, bias, added ? added + column : nullptr, gemm.relu,
                                  gemm.ceiling, columns, to[static_cast<size_t>(i)] + column);
      }
    }
  }
}

}  // namespace tessera::cpu
