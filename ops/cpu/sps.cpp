// The bookkeeping of SPS on the CPU: whole numbers only, one pass over the index map each.
//
//   select     rank of each active row among the kept or the dropped, then new id = table[old id]   threads: map rows
//   upsample   one old row of cells gives two new ones                                              threads: map rows
#include "ops/sps.h"

#include <atomic>
#include <cstring>

#include "ops/cpu/parallel.h"

namespace tessera::ops {
namespace {

constexpr i64 kGrain = 1 << 14;  // cells per thread: below that, starting threads costs more

// Bodies of parallel_ranges must not throw: they note what they met, and the caller throws.
struct Bad {
  std::atomic<i64> value = -1;
  std::atomic<bool> met = false;
  void note(i64 v) {
    value = v;
    met = true;
  }
};

void sps_select_cpu(const Tensor& index_map, const Tensor& mask, i64 passive, i64& kept, Tensor& order,
                    Tensor& new_map) {
  const i64 active = mask.numel();
  const u8* keep = mask.data<u8>();
  i64 n = 0;
  for (i64 a = 0; a < active; ++a) n += keep[a] != 0;
  Tensor ids = Tensor::empty({active}, DType::kI64);
  i64 *id = ids.data<i64>(), *rows = order.data<i64>();
  for (i64 a = 0, k = 0, d = 0; a < active; ++a) {
    if (keep[a]) {
      rows[k] = a;
      id[a] = k++;
    } else {
      rows[n + d] = a;
      id[a] = n + passive + d++;
    }
  }
  kept = n;
  const i64* from = index_map.data<i64>();
  i64* to = new_map.data<i64>();
  Bad bad;
  parallel_ranges(index_map.numel(), kGrain, [&](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const i64 old = from[i];
      if (static_cast<u64>(old) >= static_cast<u64>(active + passive)) return bad.note(old);
      to[i] = old < active ? id[old] : old - active + n;
    }
  });
  TESSERA_CHECK(!bad.met, "sps_select: the index map holds {}, but there are {} active and {} passive rows",
                bad.value.load(), active, passive);
}

void sps_upsample_cpu(const Tensor& index_map, const Tensor& cells, Tensor& new_cells, Tensor& new_map) {
  const i64 active = cells.dim(0), S = index_map.dim(1);
  const i64* from = index_map.data<i64>();
  i64* to = new_map.data<i64>();
  parallel_ranges(index_map.dim(0) * S, std::max<i64>(1, kGrain / std::max<i64>(S, 1)), [&](i64 begin, i64 end) {
    for (i64 row = begin; row < end; ++row)
      for (i64 x = 0; x < S; ++x) {
        const i64 id = from[row * S + x];
        const bool parent = id < active;  // a passive id moves up by the 3 N_A rows that are new before it
        const i64 first = parent ? 4 * id : id + 3 * active, step = parent ? 1 : 0;
        i64* at = to + (2 * row * S + x) * 2;
        at[0] = first;
        at[1] = first + step;
        at[2 * S] = first + 2 * step;
        at[2 * S + 1] = first + 3 * step;
      }
  });
  const i64* parents = cells.data<i64>();
  i64* children = new_cells.data<i64>();
  parallel_ranges(active, kGrain, [&](i64 begin, i64 end) {
    for (i64 p = begin; p < end; ++p)
      for (i64 c = 0; c < 4; ++c) {
        const i64* parent = parents + p * kSpsColumns;
        i64* child = children + (4 * p + c) * kSpsColumns;
        child[kSpsRoi] = parent[kSpsRoi];
        child[kSpsX] = 2 * parent[kSpsX] + c % 2;
        child[kSpsY] = 2 * parent[kSpsY] + c / 2;
        child[kSpsImage] = parent[kSpsImage];
        child[kSpsLevel] = std::max<i64>(parent[kSpsLevel] - 1, 0);
      }
  });
}

void sps_rows_cpu(const Tensor& cells, i64 rois, i64 size, Tensor& rows) {
  const i64* cell = cells.data<i64>();
  i64* row = rows.data<i64>();
  const auto below = [](i64 value, i64 limit) { return static_cast<u64>(value) < static_cast<u64>(limit); };
  for (i64 a = 0; a < cells.dim(0); ++a, cell += kSpsColumns) {
    TESSERA_CHECK(below(cell[kSpsRoi], rois) && below(cell[kSpsX], size) && below(cell[kSpsY], size),
                  "sps: active row {} lies in grid {} at ({}, {}), but there are {} grids of {} x {} cells", a,
                  cell[kSpsRoi], cell[kSpsX], cell[kSpsY], rois, size, size);
    row[a] = (cell[kSpsRoi] * size + cell[kSpsY]) * size + cell[kSpsX];
  }
}

void overwrite_rows_cpu(const Tensor& values, const Tensor& rows, Tensor& map) {
  if (values.numel() == 0) return;
  const size_t bytes = values.bytes() / static_cast<size_t>(values.dim(0));
  const std::byte* from = static_cast<const std::byte*>(values.raw());
  std::byte* to = static_cast<std::byte*>(map.raw());
  const i64 count = map.numel() * rows.numel() / values.numel();
  for (const i64 row : rows.span<i64>()) {
    TESSERA_CHECK(0 <= row && row < count, "overwrite_rows: row {} is outside [0, {})", row, count);
    std::memcpy(to + static_cast<size_t>(row) * bytes, from, bytes);
    from += bytes;
  }
}

const bool kAdded = sps_select_kernels.add(DeviceKind::kCpu, sps_select_cpu) &&
                    sps_upsample_kernels.add(DeviceKind::kCpu, sps_upsample_cpu) &&
                    sps_rows_kernels.add(DeviceKind::kCpu, sps_rows_cpu) &&
                    overwrite_rows_kernels.add(DeviceKind::kCpu, overwrite_rows_cpu);

}  // namespace
}  // namespace tessera::ops
