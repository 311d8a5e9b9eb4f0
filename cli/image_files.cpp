#include "cli/image_files.h"

#include <algorithm>
#include <cctype>

#include "cli/passed_over.h"

namespace tessera {

namespace fs = std::filesystem;

std::vector<fs::path> image_files(const std::vector<std::string>& arguments, i64 limit) {
  std::vector<fs::path> files;
  for (const std::string& argument : arguments) {
    if (!fs::is_directory(argument)) {
      files.emplace_back(argument);
      continue;
    }
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(argument)) {
      std::string extension = entry.path().extension().string();
      std::transform(extension.begin(), extension.end(), extension.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      if (extension == ".jpg" || extension == ".jpeg" || extension == ".png") found.push_back(entry.path());
    }
    TESSERA_CHECK(!found.empty(), "{}: the folder holds no JPEG or PNG file", argument);
    std::sort(found.begin(), found.end());
    fmt::print(stderr, "{}", passed_over(argument, found));
    files.insert(files.end(), found.begin(), found.end());
  }
  if (limit > 0 && limit < static_cast<i64>(files.size())) files.resize(static_cast<size_t>(limit));
  return files;
}

}  // namespace tessera
