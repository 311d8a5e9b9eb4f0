// The numbers of a model as text and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/measure.h"

namespace tessera {

// A line per module down to `depth`, without those that neither ran nor hold parameters.
std::string module_table(const std::vector<nn::ModuleRun>& modules, int depth);
nlohmann::ordered_json module_json(const std::vector<nn::ModuleRun>& modules);  // all of them

// The time of each part with its share and its spread, as the paper's Table 8, and images per second.
std::string speed_table(const Speed& speed);
nlohmann::ordered_json speed_json(const Speed& speed);

double giga(double count);  // in units of 10^9
std::string megabytes(size_t bytes);

}  // namespace tessera
