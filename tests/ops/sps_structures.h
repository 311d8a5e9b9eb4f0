// Structures for the tests of SPS, and the definitions that its operators must meet.
#pragma once

#include "ops/sps_conv2d.h"
#include "tensor/random.h"

namespace tessera::test {

// R grids of `size` cells, then as many rounds of selecting and upsampling as there are shares: of the active cells
// about that share stays, blocks of them, as along a contour, and single ones.
inline ops::SpsStructure random_structure(Random& random, i64 R, i64 size, const std::vector<double>& shares) {
  std::vector<i64> image(static_cast<size_t>(R)), level(static_cast<size_t>(R));
  for (i64 r = 0; r < R; ++r) {
    image[static_cast<size_t>(r)] = random.integer(0, 1);
    level[static_cast<size_t>(r)] = random.integer(0, 3);
  }
  ops::SpsStructure structure = ops::sps_dense(size, Tensor::from(image), Tensor::from(level));
  for (const double share : shares) {
    Tensor mask = Tensor::empty({structure.active()}, DType::kU8);
    bool keep = false;
    for (u8& m : mask.span<u8>()) {
      if (random.integer(0, 3) == 0) keep = random.uniform() < share;
      m = keep;
    }
    structure = ops::sps_upsample(ops::sps_select(structure, mask).structure);
  }
  return structure;
}

// The same structure on another device.
inline ops::SpsStructure structure_on(const ops::SpsStructure& s, Device device) {
  return {s.index_map.to(device), s.cells.to(device), s.passive};
}

// The id that the map holds at (x, y) of a grid; outside the zero row.
inline i64 id_at(const ops::SpsStructure& s, i64 roi, i64 x, i64 y) {
  const i64 S = s.size();
  if (x < 0 || y < 0 || x >= S || y >= S) return s.active() + s.passive;
  return s.index_map.data<i64>()[(roi * S + y) * S + x];
}
inline const i64* cell_of(const ops::SpsStructure& s, i64 row) {
  return s.cells.data<i64>() + row * ops::kSpsColumns;
}

// The ids of all positions as rows for gather_rows and scatter_add_rows: i64 [9 N_A].
inline Tensor tap_ids(const ops::SpsStructure& s, i64 dilation) {
  Tensor ids = Tensor::empty({s.active() * 9}, DType::kI64);
  for (i64 a = 0; a < s.active(); ++a)
    for (i64 t = 0; t < 9; ++t) {
      const i64* cell = cell_of(s, a);
      ids.data<i64>()[a * 9 + t] = id_at(s, cell[ops::kSpsRoi], cell[ops::kSpsX] + (t % 3 - 1) * dilation,
                                         cell[ops::kSpsY] + (t / 3 - 1) * dilation);
    }
  return ids;
}

}  // namespace tessera::test
