#include "ops/cpu/gemm.h"

#include <omp.h>

#include <algorithm>
#include <new>
#include <type_traits>
#include <vector>

#include "ops/cpu/bf16_gemm.h"
#include "ops/cpu/gemm_plan.h"
#include "tensor/tensor.h"

namespace tessera::cpu {

namespace {

// Packs the columns [column, column + count) of one depth block of B as panels. All panels of a few rows, then the next
// rows: B is often read row by row, and this makes the runs long.
template <class T>
void pack_panels(const Gemm<T>& gemm, const GemmPlan<T>& plan, i64 item, i64 k_begin, i64 depth, i64 column, i64 count,
                 T* out) {
  constexpr i64 kRows = 32;
  for (i64 k = 0; k < depth; k += kRows)
    for (i64 j = 0; j < count; j += plan.panel) {
      const i64 rows = std::min(kRows, depth - k), width = std::min(plan.panel, count - j), stride = plan.padded(width);
      T* to = out + j * depth + k * stride;
      if (stride > width)
        for (i64 r = 0; r < rows; ++r) std::fill(to + r * stride + width, to + (r + 1) * stride, T(0));
      gemm.pack_b(item, k_begin + k, rows, column + j, width, to, stride);
    }
}

// Packs the whole of B, by all threads of the team: [item][depth block][panel][depth][columns].
template <class T>
void pack_b(const Gemm<T>& gemm, const GemmPlan<T>& plan, T* out) {
  const i64 padded_columns = plan.padded(gemm.columns), blocks = static_cast<i64>(plan.blocks.size());
  const i64 panels = ceil_div(gemm.columns, plan.panel);
#pragma omp for schedule(dynamic)
  for (i64 job = 0; job < gemm.items * blocks * panels; ++job) {
    const i64 item = job / (blocks * panels), column = job % panels * plan.panel;
    const DepthBlock& block = plan.blocks[job / panels % blocks];
    const i64 k = block.run * gemm.run_depth + block.offset, depth = block.runs * block.depth;
    pack_panels(gemm, plan, item, k, depth, column, std::min(plan.panel, gemm.columns - column),
                out + (item * gemm.depth() + k) * padded_columns + column * depth);
  }
}

// What pack_whole_b() puts before B: in how many bfloat16 parts each number is, or 0 for panels of T.
struct alignas(64) PackedHead {
  int parts;
};

int packed_parts(const void* packed_b) {
  return static_cast<const PackedHead*>(packed_b)->parts;
}

template <class Packed>  // T or const T
Packed* after_head(Packed* packed_b) {
  return packed_b + sizeof(PackedHead) / sizeof(Packed);
}

// Parts in which B is worth packing, whatever the rows, of which nothing is known yet.
template <class T>
int parts_to_pack(const Gemm<T>& gemm) {
  if constexpr (std::is_same_v<T, float>) {
    Gemm<float> with_rows = gemm;
    with_rows.rows = std::numeric_limits<i64>::max();
    return bf16_parts(with_rows);
  }
  return 0;
}

// c = the pairwise sum of the partial products, + bias, + residual, ReLU.
template <class T>
void sum_splits(const Gemm<T>& gemm, i64 splits, T* partial) {
  const i64 rows = gemm.items * gemm.rows, columns = gemm.columns, size = rows * columns;
#pragma omp parallel for schedule(static)
  for (i64 r = 0; r < rows; ++r) {
    T* first = partial + r * columns;
    for (i64 step = 1; step < splits; step *= 2)
      for (i64 s = 0; s + step < splits; s += 2 * step)
        for (i64 j = 0; j < columns; ++j) first[s * size + j] += first[(s + step) * size + j];
    const i64 item = r / gemm.rows;
    T* c;
    gemm.c_rows(item, r % gemm.rows, 1, &c);
    const T* residual = nullptr;
    if (gemm.residual_rows) gemm.residual_rows(item, r % gemm.rows, 1, &residual);
    for (i64 j = 0; j < columns; ++j) {
      T y = gemm.bias ? first[j] + gemm.bias[item * columns + j] : first[j];
      if (residual) y += residual[j];
      if (gemm.relu) y = y < 0 ? T(0) : y > gemm.ceiling ? gemm.ceiling : y;
      c[j] = y;
    }
  }
}

template <class T>
void run_task(const Gemm<T>& gemm, const GemmPlan<T>& plan, const GemmWorkspace<T>& layout, i64 task, const T* packed_b,
              const T* bias, T* partial, std::byte* memory) {
  // task = ((item * splits + split) * column_blocks + column block) * row_blocks + row block: neighbours share B.
  const i64 row = task % plan.row_blocks * plan.row_block;
  task /= plan.row_blocks;
  const i64 column = task % plan.column_blocks * plan.column_block;
  task /= plan.column_blocks;
  const i64 split = task % plan.splits, item = task / plan.splits;
  const i64 rows = std::min(plan.row_block, gemm.rows - row),
            columns = std::min(plan.column_block, gemm.columns - column);
  const i64 count = static_cast<i64>(plan.blocks.size());
  const i64 first = split * count / plan.splits, last = (split + 1) * count / plan.splits;

  const T** table = reinterpret_cast<const T**>(memory + layout.table);
  T** c_rows = reinterpret_cast<T**>(memory + layout.rows);
  const T** residual_rows = gemm.residual_rows ? reinterpret_cast<const T**>(memory + layout.residual) : nullptr;
  T* b = reinterpret_cast<T*>(memory + layout.b);
  if (gemm.a_rows) gemm.a_rows(item, row, rows, table, reinterpret_cast<T*>(memory + layout.scratch));
  if (partial) {
    for (i64 i = 0; i < rows; ++i)
      c_rows[i] = partial + ((split * gemm.items + item) * gemm.rows + row + i) * gemm.columns;
  } else {
    gemm.c_rows(item, row, rows, c_rows);
    if (residual_rows) gemm.residual_rows(item, row, rows, residual_rows);
  }

  const i64 padded_columns = plan.padded(gemm.columns);
  for (i64 index = first; index < last; ++index) {
    const DepthBlock& block = plan.blocks[index];
    const i64 k = block.run * gemm.run_depth + block.offset, depth = block.runs * block.depth;
    const T* b_block = packed_b ? packed_b + (item * gemm.depth() + k) * padded_columns + column * depth : b;
    if (!packed_b) pack_panels(gemm, plan, item, k, depth, column, columns, b);
    const bool finish = index + 1 == last && !partial;
    simd::gemm_kernels.get<T>().block(
        {.rows = rows,
         .columns = columns,
         .a_rows = gemm.a_rows ? table : nullptr,
         .a_runs = gemm.runs,
         .run = block.run,
         .runs = block.runs,
         .run_offset = block.offset,
         .run_depth = block.depth,
         .a_columns = gemm.a_columns ? gemm.a_columns + item * gemm.a_item_stride + k * gemm.a_step + row : nullptr,
         .a_step = gemm.a_step,
         .b = b_block,
         .panel_stride = plan.panel * depth,
         .c_rows = c_rows,
         .c_column = column,
         .accumulate = index > first,
         .bias = finish && bias ? bias + item * padded_columns + column : nullptr,
         .residual_rows = finish ? residual_rows : nullptr,
         .relu = finish && gemm.relu,
         .ceiling = gemm.ceiling});
  }
}

}  // namespace

template <class T>
void run(const Gemm<T>& gemm) {
  if constexpr (std::is_same_v<T, float>) {
    if (const int parts = gemm.packed_b ? packed_parts(gemm.packed_b) : bf16_parts(gemm))
      return run_in_parts(gemm, parts,
                          gemm.packed_b ? reinterpret_cast<const u16*>(after_head(gemm.packed_b)) : nullptr);
  }
  run_exactly(gemm);
}

template <class T>
void run_exactly(const Gemm<T>& gemm) {
  if (gemm.items == 0 || gemm.rows == 0 || gemm.columns == 0) return;
  const GemmPlan<T> plan(gemm);
  const GemmWorkspace<T> layout(gemm, plan);
  const i64 tasks = gemm.items * plan.splits * plan.row_blocks * plan.column_blocks;
  const int threads = static_cast<int>(std::min<i64>(tasks, omp_get_max_threads()));
  const i64 padded_columns = plan.padded(gemm.columns);

  Tensor workspace = Tensor::empty({threads, layout.bytes}, DType::kU8);
  Tensor packed_b, bias, partial;
  if (plan.keep_b) packed_b = Tensor::empty({gemm.items, gemm.depth(), padded_columns}, kDTypeOf<T>);
  if (plan.splits > 1) partial = Tensor::empty({plan.splits, gemm.items, gemm.rows, gemm.columns}, kDTypeOf<T>);
  if (gemm.bias) {  // the kernel reads whole vectors
    bias = Tensor::zeros({gemm.items, padded_columns}, kDTypeOf<T>);
    for (i64 item = 0; item < gemm.items; ++item)
      std::copy_n(gemm.bias + item * gemm.columns, gemm.columns, bias.data<T>() + item * padded_columns);
  }
  const T* packed_b_data = plan.keep_b ? packed_b.data<T>() : gemm.packed_b ? after_head(gemm.packed_b) : nullptr;
  const T* bias_data = gemm.bias ? bias.data<T>() : nullptr;
  T* partial_data = plan.splits > 1 ? partial.data<T>() : nullptr;
  std::byte* memory = reinterpret_cast<std::byte*>(workspace.raw());

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    if (plan.keep_b) pack_b(gemm, plan, packed_b.data<T>());
    std::byte* mine = memory + omp_get_thread_num() * layout.bytes;
#pragma omp for schedule(dynamic)
    for (i64 task = 0; task < tasks; ++task)
      run_task(gemm, plan, layout, task, packed_b_data, bias_data, partial_data, mine);
  }
  if (partial_data) sum_splits(gemm, plan.splits, partial_data);
}

template <class T>
i64 packed_b_size(const Gemm<T>& gemm) {
  i64 size = gemm.items * gemm.depth() * GemmPlan<T>(gemm).padded(gemm.columns);
  if constexpr (std::is_same_v<T, float>)
    if (const int parts = parts_to_pack(gemm)) size = std::max(size, ceil_div(split_b_size(gemm, parts), 2));
  return size + i64{sizeof(PackedHead) / sizeof(T)};
}

template <class T>
void pack_whole_b(const Gemm<T>& gemm, T* out) {
  PackedHead& head = *new (out) PackedHead{parts_to_pack(gemm)};
  out = after_head(out);
  if constexpr (std::is_same_v<T, float>)
    if (head.parts > 0 && split_whole_b(gemm, head.parts, reinterpret_cast<u16*>(out))) return;
  head.parts = 0;
  const GemmPlan<T> plan(gemm);
#pragma omp parallel
  pack_b(gemm, plan, out);
}

template <class T>
const T* packed_panels(const T* packed_b) {
  return packed_parts(packed_b) == 0 ? after_head(packed_b) : nullptr;
}

template void run<float>(const Gemm<float>&);
template void run<double>(const Gemm<double>&);
template void run_exactly<float>(const Gemm<float>&);
template void run_exactly<double>(const Gemm<double>&);
template const float* packed_panels<float>(const float*);
template const double* packed_panels<double>(const double*);
template i64 packed_b_size<float>(const Gemm<float>&);
template i64 packed_b_size<double>(const Gemm<double>&);
template void pack_whole_b<float>(const Gemm<float>&, float* out);
template void pack_whole_b<double>(const Gemm<double>&, double* out);

}  // namespace tessera::cpu
