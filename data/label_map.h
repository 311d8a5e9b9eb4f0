// Maps that number the pixels of a picture by the region they belong to, taken apart into masks.
#pragma once

#include <filesystem>
#include <vector>

#include "data/rle.h"

namespace tessera {

struct LabelRegion {
  i32 value = 0;
  Rle mask;
};

// i32 [H, W] -> its regions by ascending value; every pixel lies in exactly one. The runs are canonical.
std::vector<LabelRegion> regions_of(const Tensor& map);

}  // namespace tessera
