// The statistics of a data set as text, as JSON and as a page.
#pragma once

#include <optional>
#include <string>

#include "data/dataset_statistics.h"

namespace tessera {

struct StatisticsReport {
  DatasetStatistics found;
  std::string grids;  // what is said of FASSST's grids, lines of text
  // How many objects a model finds in a picture at most, and what says so ("model.num_masks").
  struct Limit {
    i64 objects;
    std::string option;
  };
  std::optional<Limit> limit = {};

  std::string text() const;
  std::string json() const;
  std::string page(const std::string& title) const;
};

}  // namespace tessera
