#include "ops/sps.h"

#include <numeric>

#include "ops/arrange.h"
#include "ops/pointwise.h"

namespace tessera::ops {

namespace {

void check_vector(const char* op, const char* name, const Tensor& tensor, DType dtype, i64 size) {
  TESSERA_CHECK(tensor.defined() && tensor.dtype() == dtype && tensor.shape() == Shape{size},
                "{}: {} must be {} {}, got {} {}", op, name, name_of(dtype), Shape{size},
                tensor.defined() ? name_of(tensor.dtype()) : "undefined", tensor.shape());
}

}  // namespace

void check_sps_structure(const char* op, const SpsStructure& structure) {
  const Tensor &map = structure.index_map, &cells = structure.cells;
  TESSERA_CHECK(map.defined() && map.dtype() == DType::kI64 && map.rank() == 3 && map.dim(1) == map.dim(2),
                "{}: the index map must be i64 [R, S, S], got {} {}", op,
                map.defined() ? name_of(map.dtype()) : "undefined", map.shape());
  TESSERA_CHECK(cells.defined() && cells.dtype() == DType::kI64 && cells.rank() == 2 && cells.dim(1) == kSpsColumns,
                "{}: the cells must be i64 [N_A, {}], got {} {}", op, static_cast<int>(kSpsColumns),
                cells.defined() ? name_of(cells.dtype()) : "undefined", cells.shape());
  TESSERA_CHECK(structure.passive >= 0 && cells.dim(0) <= map.numel(),
                "{}: {} active and {} passive rows do not fit an index map {}", op, cells.dim(0), structure.passive,
                map.shape());
}

SpsStructure sps_dense(i64 size, const Tensor& image, const Tensor& level) {
  TESSERA_CHECK(size >= 1, "sps_dense: grids of {} x {} cells", size, size);
  TESSERA_CHECK(image.defined() && image.rank() == 1, "sps_dense: image must be i64 [R]");
  const i64 R = image.dim(0);
  check_vector("sps_dense", "image", image, DType::kI64, R);
  check_vector("sps_dense", "level", level, DType::kI64, R);
  Tensor map = Tensor::empty({R, size, size}, DType::kI64),
         cells = Tensor::empty({map.numel(), kSpsColumns}, DType::kI64);
  std::iota(map.data<i64>(), map.data<i64>() + map.numel(), i64{0});
  const Tensor images = image.to_host(), levels = level.to_host();
  i64* cell = cells.data<i64>();
  for (i64 r = 0; r < R; ++r)
    for (i64 y = 0; y < size; ++y)
      for (i64 x = 0; x < size; ++x)
        for (const i64 column : {r, x, y, images.data<i64>()[r], levels.data<i64>()[r]}) *cell++ = column;
  return {map.to(image.device()), cells.to(image.device()), 0};
}

SpsSelection sps_select(const SpsStructure& structure, const Tensor& mask) {
  check_sps_structure("sps_select", structure);
  const i64 active = structure.active();
  check_vector("sps_select", "mask", mask, DType::kU8, active);
  Tensor order = Tensor::empty({active}, DType::kI64, mask.device());
  Tensor map = Tensor::empty(structure.index_map.shape(), DType::kI64, mask.device());
  i64 kept = 0;
  sps_select_kernels(structure.index_map, mask, structure.passive, kept, order, map);
  SpsSelection selection{{}, order.rows(0, kept), order.rows(kept, active)};
  selection.structure = {map, gather_rows(structure.cells, selection.kept), structure.passive + active - kept};
  return selection;
}

Tensor sps_top_mask(const Tensor& scores, i64 k) {
  TESSERA_CHECK(scores.defined() && scores.rank() == 1 && k >= 0,
                "sps_top_mask: scores must be [N_A] and k at least 0, got {} and {}", scores.shape(), k);
  const i64 active = scores.dim(0);
  if (active <= k) return Tensor::full({active}, 1, DType::kU8, scores.device());
  const Tensor ones = Tensor::full({k}, 1, DType::kF32, scores.device());
  return greater_equal(scatter_add_rows(ones, top_k(scores, k).indices, active), 1);
}

SpsStructure sps_upsample(const SpsStructure& structure) {
  check_sps_structure("sps_upsample", structure);
  const i64 S = 2 * structure.size();
  SpsStructure up{Tensor::empty({structure.rois(), S, S}, DType::kI64, structure.index_map.device()),
                  Tensor::empty({4 * structure.active(), kSpsColumns}, DType::kI64, structure.cells.device()),
                  structure.passive};
  sps_upsample_kernels(structure.index_map, structure.cells, up.cells, up.index_map);
  return up;
}

Tensor sps_rows(const SpsStructure& structure) {
  check_sps_structure("sps_rows", structure);
  Tensor rows = Tensor::empty({structure.active()}, DType::kI64, structure.cells.device());
  sps_rows_kernels(structure.cells, structure.rois(), structure.size(), rows);
  return rows;
}

Tensor overwrite_rows(const Tensor& x, const Tensor& values, const Tensor& rows) {
  TESSERA_CHECK(x.defined() && x.rank() >= 1, "overwrite_rows: a tensor of rows is needed, got {}", x.shape());
  TESSERA_CHECK(rows.defined() && rows.dtype() == DType::kI64 && rows.rank() == 1,
                "overwrite_rows: row indices must be i64 of rank 1, got {} {}",
                rows.defined() ? name_of(rows.dtype()) : "undefined", rows.shape());
  Shape expected = x.shape();
  expected[0] = rows.dim(0);
  TESSERA_CHECK(values.defined() && values.dtype() == x.dtype() && values.shape() == expected,
                "overwrite_rows: the values must be {} {}, got {} {}", name_of(x.dtype()), expected,
                values.defined() ? name_of(values.dtype()) : "undefined", values.shape());
  Tensor y = x.clone();
  overwrite_rows_kernels(values, rows, y);
  return y;
}

Tensor sps_overwrite(const Tensor& map, const Tensor& values, const SpsStructure& structure) {
  check_sps_structure("sps_overwrite", structure);
  const Shape& grid = structure.index_map.shape();
  TESSERA_CHECK(
      map.defined() && map.rank() == 4 && map.dim(0) == grid[0] && map.dim(1) == grid[1] && map.dim(2) == grid[2],
      "sps_overwrite: the map must be [{}, {}, {}, C], got {}", grid[0], grid[1], grid[2], map.shape());
  TESSERA_CHECK(
      values.defined() && values.dtype() == map.dtype() && values.shape() == Shape({structure.active(), map.dim(3)}),
      "sps_overwrite: the values must be {} [{}, {}], got {} {}", name_of(map.dtype()), structure.active(), map.dim(3),
      values.defined() ? name_of(values.dtype()) : "undefined", values.shape());
  const Shape cells = {grid.numel(), map.dim(3)};
  return overwrite_rows(map.reshape(cells), values, sps_rows(structure)).reshape(map.shape());
}

}  // namespace tessera::ops
