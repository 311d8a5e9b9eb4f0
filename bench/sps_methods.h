// The comparison of EffSeg's Table 2, with measured time and memory (docs/sps.md).
#pragma once

#include <nlohmann/json.hpp>

#include "ops/sps.h"

namespace tessera::bench {

// bool [N_A]: the k cells nearest to the contour of a disc in every grid, as a mask head refines them.
Tensor contour_mask(const ops::SpsStructure& structure, i64 k);

struct SpsMethodsOptions {
  i64 rois = 60;        // regions of interest
  i64 refined = 10000;  // cells that every stage refines, over all regions
  double seconds = 3;   // each method of a stage is measured for at least so long
};

// Prints a table for each stage, and returns the figures.
nlohmann::ordered_json compare_sps_methods(const SpsMethodsOptions& options);

}  // namespace tessera::bench
