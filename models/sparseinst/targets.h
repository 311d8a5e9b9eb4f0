// Ground truth as the losses need it: the masks of all pictures of a batch at the size of the predicted masks.
#pragma once

#include <vector>

#include "data/sample.h"

namespace tessera::sparseinst {

struct MaskTargets {
  Tensor maps;             // f32 [T, h w]: masks of all pictures, one after the other; soft at their edges
  Tensor classes;          // i64 [T]
  std::vector<i64> first;  // N + 1: picture n has the targets first[n] .. first[n + 1] - 1

  i64 count() const { return first.back(); }
  i64 count(i64 n) const { return first[static_cast<size_t>(n) + 1] - first[static_cast<size_t>(n)]; }
};

// Every mask is placed at the top left of a zero map of the padded size and resized bilinearly to height x width. It is
// not made binary again: with a factor of 4 its values are the quarters of 1. Maps and classes lie on `device`.
MaskTargets make_targets(const Batch& batch, i64 height, i64 width, i64 num_classes, Device device = {});

}  // namespace tessera::sparseinst
