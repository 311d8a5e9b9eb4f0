// Scoring results against annotations: what `tessera score` does.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace tessera {

struct ScoreRequest {
  std::filesystem::path annotations, results;  // a file each, or a folder where the metric's data set has folders
};

struct Score {
  std::string text;  // for the terminal
  std::string json;  // for a file
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
