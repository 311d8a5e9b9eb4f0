#include "cli/passed_over.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tensor/dtype.h"

namespace tessera {

namespace fs = std::filesystem;

std::string passed_over(const fs::path& folder, const std::vector<fs::path>& taken) {
  std::map<std::string, i64> count_of;
  i64 total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() || std::ranges::binary_search(taken, entry.path())) continue;
    const std::string extension = entry.path().extension().string();
    const bool hidden = entry.path().filename().string().starts_with('.');
    ++count_of[hidden ? "hidden" : extension.empty() ? "without extension" : extension];
    ++total;
  }
  if (total == 0) return {};
  std::vector<std::string> counts;
  for (const auto& [kind, count] : count_of) counts.push_back(fmt::format("{} {}", count, kind));
  return fmt::format("{}: {} {} passed over, only JPEG and PNG are read: {}\n", folder.string(), total,
                     total == 1 ? "file" : "files", fmt::join(counts, ", "));
}

}  // namespace tessera
