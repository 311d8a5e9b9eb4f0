// The anchors: on every cell of every level the same boxes, all sizes in all ratios.
//
//   size_j = 4 stride 2^(j / sizes),   width = size / sqrt(ratio),   height = ratio width
//
// Anchors are counted level by level, fine first, cells row by row, the boxes of a cell innermost: box j R + r of a
// cell has size j and ratio r of R. A cell's centre is (stride (x + 1/2), stride (y + 1/2)).
#pragma once

#include "models/fqdet/config.h"
#include "ops/ms_deform_attn.h"

namespace tessera::fqdet {

class AnchorGrid {
 public:
  AnchorGrid(const AnchorConfig& config, const std::vector<FeatureLevel>& levels);

  i64 kinds() const { return kinds_; }  // boxes per cell
  // f32 [A, 4]: x1 y1 x2 y2 in pixels. The grid that was asked for last is kept.
  const Tensor& operator()(const std::vector<ops::LevelSize>& sizes, Device device);

 private:
  i64 kinds_;
  std::vector<FeatureLevel> levels_;
  std::vector<Tensor> corners_;  // of each level [1, 1, kinds, 4], from the centre of the cell
  std::vector<ops::LevelSize> sizes_;
  Tensor anchors_;
};

}  // namespace tessera::fqdet
