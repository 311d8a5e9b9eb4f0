#include "cli/passed_over.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tensor/dtype.h"

namespace tessera {

namespace fs = std::filesystem;

std::string passed_over(const fs::path& folder, const std::vector<fs::path>& taken) {
  std::map<std::string, i64> count_of;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (std::ranges::binary_search(taken, entry.path())) continue;
    const std::string extension = entry.path().extension().string();
    const bool hidden = entry.path().filename().string().starts_with('.');
    std::error_code broken_link;
    ++count_of[hidden                            ? "hidden"
               : entry.is_directory(broken_link) ? "folder"
               : extension.empty()               ? "without extension"
                                                 : extension];
  }
  std::vector<std::string> counts;
  for (const auto& [kind, count] : count_of) counts.push_back(fmt::format("{} {}", count, kind));
  return fmt::format("{}", fmt::join(counts, ", "));
}

}  // namespace tessera
