// Golden results of whole networks: one *.safetensors file, whose name and metadata say which network.
#pragma once

#include <filesystem>

#include "tests/goldens/report.h"

namespace tessera::goldens {

// Runs the network on report.device() and reports one case per stage. Returns how many cases were reported; 0 when the
// file's network is not one this build knows. Throws Error for an unreadable or malformed file.
int check_network(const std::filesystem::path& path, Report& report);

}  // namespace tessera::goldens
