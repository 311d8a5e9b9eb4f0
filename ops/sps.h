// Structure-Preserving Sparsity: features for some cells of R square grids of S x S cells, without the dense maps.
//                                                     Picron and Tuytelaars, EffSeg, section 3.2 and its research code
//
// Active features A [N_A, F] belong to one cell each and are computed on; passive features P [N_P, F] stay as they are
// and may cover many cells. The index map holds the id of every cell's feature: 0 .. N_A - 1 is a row of A, N_A ..
// N_A + N_P - 1 a row of P, and N_A + N_P, which never stands in the map, is the zero row that pads the grids.
//
// This header has the structure alone; the features are plain tensors that follow it (autograd/sps.h), and
// ops/sps_conv2d.h and ops/sps_deform_conv2d.h compute on them.
#pragma once

#include "ops/kernel_table.h"

namespace tessera::ops {

// One column of SpsStructure::cells each.
enum SpsCell { kSpsRoi, kSpsX, kSpsY, kSpsImage, kSpsLevel, kSpsColumns };

struct SpsStructure {
  Tensor index_map;  // i64 [R, S, S]
  Tensor cells;      // i64 [N_A, 5]: of every active row its grid, column x, row y, image and level of the pyramid
  i64 passive = 0;   // N_P

  i64 rois() const { return index_map.dim(0); }
  i64 size() const { return index_map.dim(1); }
  i64 active() const { return cells.dim(0); }
};

// All cells of R grids active, ids in row order (r S + y) S + x. image and level: i64 [R], of each grid.
SpsStructure sps_dense(i64 size, const Tensor& image, const Tensor& level);

// The active cells whose mask (u8 [N_A]) is not 0 stay active, in their order, with ids 0 .. n - 1. The others become
// passive behind the old ones: ids n .. n + N_P - 1 are the old passive rows, then the dropped cells in their order. So
// the new features are A[kept] and concat(P, A[dropped]).
struct SpsSelection {
  SpsStructure structure;
  Tensor kept, dropped;  // i64 [n], [N_A - n]: rows of A
};
SpsSelection sps_select(const SpsStructure& structure, const Tensor& mask);

// The mask of the k largest scores [N_A] (f32 or f64; among equal ones the lowest row first); all when N_A <= k.
Tensor sps_top_mask(const Tensor& scores, i64 k);

// Grids of 2 S x 2 S. The active cell of row p becomes four, rows 4 p + c with c = 0 .. 3 at (2 x, 2 y) + (0, 0),
// (1, 0), (0, 1), (1, 1); a passive cell's id is copied to its four cells. The level goes down by one, not below 0.
SpsStructure sps_upsample(const SpsStructure& structure);

// Where each active row lies in a dense map [R, S, S, ...] seen as rows: i64 [N_A], (roi S + y) S + x.
Tensor sps_rows(const SpsStructure& structure);

// map [R, S, S, C] with the rows of the active cells replaced by values [N_A, C], any dtype.   EffSeg, section 3.1:
// the mask of a stage is the upsampled one of the stage before, overwritten where the stage predicted.
Tensor sps_overwrite(const Tensor& map, const Tensor& values, const SpsStructure& structure);

// x [M, ...] with the rows `rows`, i64 [K], no row twice, replaced by values [K, ...], any dtype. A row outside
// x is an error on the CPU and passed by on other devices.
Tensor overwrite_rows(const Tensor& x, const Tensor& values, const Tensor& rows);

// Throws, naming op, when the tensors of the structure do not have the shapes and dtypes above.
void check_sps_structure(const char* op, const SpsStructure& structure);

// order [N_A]: the kept rows, then the dropped ones. Kernels check what they read: an id outside 0 .. N_A + N_P - 1 or
// a cell outside the grids is an error, never an access. On other devices than the CPU nobody waits for the answer:
// there such an id becomes that of the zero row, and a row at such a cell lies at -1, where it has no neighbours and
// is not written.
inline constinit KernelTable<void(const Tensor& index_map, const Tensor& mask, i64 passive, i64& kept, Tensor& order,
                                  Tensor& new_map)>
    sps_select_kernels{"sps_select"};
inline constinit KernelTable<void(const Tensor& index_map, const Tensor& cells, Tensor& new_cells, Tensor& new_map)>
    sps_upsample_kernels{"sps_upsample"};
inline constinit KernelTable<void(const Tensor& cells, i64 rois, i64 size, Tensor& rows)> sps_rows_kernels{"sps_rows"};
inline constinit KernelTable<void(const Tensor& values, const Tensor& rows, Tensor& map)> overwrite_rows_kernels{
    "overwrite_rows"};

}  // namespace tessera::ops
