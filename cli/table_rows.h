// What `tessera table` prints and draws: the numbers of networks beside those that were published.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/chart.h"
#include "cli/measure.h"
#include "models/published.h"

namespace tessera {

struct Numbers {
  std::vector<nn::ModuleRun> modules;  // work: the mean over the inputs; the root first
  std::optional<Speed> speed;
  std::optional<Speed> usual_speed;  // with the table's usual_objects
  Memory memory;

  const nn::ModuleRun& of(const std::string& part) const;
  // Of a part that is no direct part of the network none is measured.
  std::optional<double> seconds(const std::string& part) const;
};

struct TableRow {
  PublishedModel published;
  i64 input = 0;  // shorter side
  Numbers numbers;
};

// counted: what the FLOPs are counted at.
std::string table_text(const PublishedTable& table, const std::vector<TableRow>& rows, const std::string& counted);
nlohmann::ordered_json table_json(const PublishedTable& table, const TableRow& row);

// A mark for each row of which AP and speed are known: over the published images per second and over those measured
// here. AP is test-dev's where a table has that, else val2017's. A chart without marks is left out.
using MeasuredTable = std::pair<PublishedTable, std::vector<TableRow>>;
std::vector<Chart> accuracy_over_speed(const std::vector<MeasuredTable>& tables);

// Milliseconds and shares of each part: the published ones, and below them ours, of the same sizes.
std::string latency_text(const PublishedLatencies& published, const std::vector<Speed>& ours);
nlohmann::ordered_json latency_json(const PublishedLatencies& published, const std::vector<Speed>& ours);

}  // namespace tessera
