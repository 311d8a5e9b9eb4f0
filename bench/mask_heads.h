// Time and memory of EffSeg's mask head as functions of its RoIs and of the cells that it refines (docs/effseg.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tessera::bench {

struct MaskHeadOptions {
  std::vector<i64> rois = {1, 10, 30, 60, 100, 200, 300};                         // with 10,000 refinements
  std::vector<i64> refinements = {1000, 2000, 5000, 10000, 20000, 30000, 40000};  // with 60 RoIs
  i64 dense_rois = 100;  // the most with which the dense head is measured
  int runs = 3;          // of which the fastest counts
  std::string plot;      // an SVG file; empty: none
};

// Prints a table, and returns the figures.
nlohmann::ordered_json measure_mask_heads(const MaskHeadOptions& options);

}  // namespace tessera::bench
