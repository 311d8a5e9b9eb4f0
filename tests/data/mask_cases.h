// mask_cases.json: masks, boxes and overlaps as the COCO mask API gives them.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/rasterise.h"
#include "tests/support/paths.h"

namespace tessera::test {

inline const nlohmann::json& mask_cases() {
  static const nlohmann::json cases =
      nlohmann::json::parse(std::ifstream(test::source_dir() / "tests/data/mask_cases.json"));
  return cases;
}

inline Rle mask_of(const nlohmann::json& item) {
  const nlohmann::json& segmentation = item["segmentation"];
  if (segmentation.is_array())
    return rasterise_polygons(segmentation.get<std::vector<std::vector<double>>>(), item["h"], item["w"]);
  return {item["h"], item["w"], segmentation["counts"].get<std::vector<u32>>()};
}

}  // namespace tessera::test
