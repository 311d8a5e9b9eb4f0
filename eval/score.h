// Scoring results against annotations: what `tessera score` does.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/average_precision.h"

namespace tessera {

struct ScoreRequest {
  std::filesystem::path annotations, results;  // a file each, or a folder where the metric's data set has folders
  // For metrics that take them:
  std::optional<double> ratio = {};  // thickness of a boundary over the image's diagonal
  bool coco_categories = false;      // LVIS annotations with COCO's categories (AP*)
  bool areas_from_boxes = false;     // the size of a mask that has a box in the results is the box's
  std::function<void(i64 done, i64 total)> progress = {};  // called by metrics that read pictures
};

struct Bar {
  std::string name;
  double value = 0;
};
struct BarChart {
  std::string title;
  std::vector<Bar> bars;
};

struct Score {
  std::string text;                 // for the terminal
  std::string json;                 // for a file
  std::vector<BarChart> bars = {};  // for a picture; of TIDE and Cityscapes
  std::optional<ApResult> ap = {};  // with the curves; of COCO, LVIS and boundary metrics
};

struct Metric {
  enum Options : unsigned { kRatio = 1, kCocoCategories = 2, kAreasFromBoxes = 4 };

  const char* name;
  const char* meaning;  // one line
  Score (*score)(const ScoreRequest& request);
  unsigned options = 0;  // of the request that it takes
};

std::span<const Metric> metrics();  // all there are

// An unknown metric is an error that lists the known ones, an option that the metric does not take is one too.
Score score_results(const std::string& metric, const ScoreRequest& request);

}  // namespace tessera
