// The bookkeeping of SPS in CUDA: whole numbers only, one thread per number written.
//
//   select     a scan over the mask numbers the kept rows; then new id = f(old id), cell by cell
//   upsample   each new cell looks at its parent
//
// Bounded by memory: the index map is read once and written once. select waits for the device once, for the number of
// kept rows.
#include "ops/cuda/scan.h"
#include "ops/sps.h"

namespace tessera {

namespace {

using namespace cuda;

__global__ void flags_kernel(i64 active, const u8* mask, i32* flags) {
  for (const i64 a : indices(active + 1)) flags[a] = a < active && mask[a] != 0;
}

// rank [N_A + 1]: how many rows before this one are kept; the last: how many of all.
__global__ void order_kernel(i64 active, const u8* mask, const i32* rank, i64* order) {
  for (const i64 a : indices(active)) order[mask[a] ? rank[a] : rank[active] + a - rank[a]] = a;
}

__global__ void select_kernel(i64 cells, i64 active, i64 passive, const u8* mask, const i32* rank, const i64* index_map,
                              i64* new_map) {
  for (const i64 i : indices(cells)) {
    const i64 old = index_map[i], kept = rank[active], zero_row = active + passive;
    if (old < 0 || old >= zero_row) {
      new_map[i] = zero_row;
    } else if (old >= active) {
      new_map[i] = old - active + kept;
    } else {
      new_map[i] = mask[old] ? rank[old] : kept + passive + old - rank[old];
    }
  }
}

void sps_select_cuda(const Tensor& index_map, const Tensor& mask, i64 passive, i64& kept, Tensor& order,
                     Tensor& new_map) {
  const i64 active = mask.numel(), cells = index_map.numel();
  const u8* keep = mask.device_data<u8>();
  Tensor rank = Tensor::empty({active + 1}, DType::kI32, mask.device());
  launch<flags_kernel>(over(active + 1), active, keep, rank.device_data<i32>());
  exclusive_scan(rank);
  launch<order_kernel>(over(active), active, keep, rank.device_data<i32>(), order.device_data<i64>());
  launch<select_kernel>(over(cells), cells, active, passive, keep, rank.device_data<i32>(),
                        index_map.device_data<i64>(), new_map.device_data<i64>());
  kept = static_cast<i64>(rank.rows(active, active + 1).item());
}

__global__ void upsample_map_kernel(i64 cells, i64 size, i64 active, const i64* index_map, i64* new_map) {
  for (const i64 i : indices(cells)) {
    const i64 x = i % (2 * size), row = i / (2 * size);  // row: r 2 S + y, and 2 S is even
    const i64 id = index_map[row / 2 * size + x / 2];
    new_map[i] =
        id < active ? 4 * id + row % 2 * 2 + x % 2 : id + 3 * active;  // 3 N_A rows are new before a passive one
  }
}

__global__ void upsample_cells_kernel(i64 n, const i64* cells, i64* new_cells) {
  for (const i64 i : indices(n)) {
    const i64 column = i % ops::kSpsColumns, child = i / ops::kSpsColumns, c = child % 4;
    const i64 parent = cells[child / 4 * ops::kSpsColumns + column];
    new_cells[i] = column == ops::kSpsX       ? 2 * parent + c % 2
                   : column == ops::kSpsY     ? 2 * parent + c / 2
                   : column == ops::kSpsLevel ? (parent > 0 ? parent - 1 : 0)
                                              : parent;
  }
}

void sps_upsample_cuda(const Tensor& index_map, const Tensor& cells, Tensor& new_cells, Tensor& new_map) {
  launch<upsample_map_kernel>(over(new_map.numel()), new_map.numel(), index_map.dim(1), cells.dim(0),
                              index_map.device_data<i64>(), new_map.device_data<i64>());
  launch<upsample_cells_kernel>(over(new_cells.numel()), new_cells.numel(), cells.device_data<i64>(),
                                new_cells.device_data<i64>());
}

__global__ void rows_kernel(i64 active, i64 rois, i64 size, const i64* cells, i64* rows) {
  for (const i64 a : indices(active)) {
    const i64* cell = cells + a * ops::kSpsColumns;
    const i64 roi = cell[ops::kSpsRoi], x = cell[ops::kSpsX], y = cell[ops::kSpsY];
    const bool inside = roi >= 0 && roi < rois && x >= 0 && x < size && y >= 0 && y < size;
    rows[a] = inside ? (roi * size + y) * size + x : -1;
  }
}

void sps_rows_cuda(const Tensor& cells, i64 rois, i64 size, Tensor& rows) {
  launch<rows_kernel>(over(rows.numel()), rows.numel(), rois, size, cells.device_data<i64>(), rows.device_data<i64>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sps_select_kernels.add(kDevice, sps_select_cuda),
    ops::sps_upsample_kernels.add(kDevice, sps_upsample_cuda),
    ops::sps_rows_kernels.add(kDevice, sps_rows_cuda),
};

}  // namespace

}  // namespace tessera
