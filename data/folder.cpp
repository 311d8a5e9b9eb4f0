#include "data/folder.h"

#include <algorithm>
#include <cctype>
#include <deque>
#include <set>

namespace tessera {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  std::deque<fs::path> open = {folder};  // links at the end: what lies at its own place is found there
  while (!open.empty()) {
    const fs::path next = std::move(open.front());
    open.pop_front();
    if (!seen.insert(fs::canonical(next)).second) continue;
    for (const fs::directory_entry& entry : fs::directory_iterator(next)) {
      std::error_code broken_link;
      if (!entry.is_directory(broken_link))
        files.push_back(entry.path());
      else if (entry.is_symlink())
        open.push_back(entry.path());
      else
        open.push_front(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

std::string lower_extension(const fs::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

}  // namespace tessera
