// Scoring results against annotations: what `tessera score` does.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

struct ScoreRequest {
  std::filesystem::path annotations, results;  // a file each, or a folder where the metric's data set has folders
  std::optional<double> boundary_ratio = {};   // thickness of a boundary, as a share of the diagonal; absent: the usual
  std::function<void(i64 done, i64 total)> progress = {};  // of metrics that read pictures
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
  std::string text;                   // for the terminal
  std::string json;                   // for a file
  std::vector<BarChart> charts = {};  // for a picture
};

struct Metric {
  const char* name;
  const char* meaning;  // one line
  Score (*score)(const ScoreRequest& request);
};

std::span<const Metric> metrics();  // all there are

// An unknown metric is an error that lists the known ones.
Score score_results(const std::string& metric, const ScoreRequest& request);

}  // namespace tessera
