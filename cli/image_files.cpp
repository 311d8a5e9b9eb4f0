#include "cli/image_files.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <unordered_set>

#include "cli/passed_over.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

bool is_image(const fs::directory_entry& entry) {
  const fs::path& path = entry.path();
  std::error_code broken_link;  // is reported when it is read
  if (path.filename().string().front() == '.' || entry.is_directory(broken_link)) return false;
  return is_image_name(path);
}

// The same for every spelling of a path, whether or not there is such a file.
std::string entry_of(const fs::path& file) {
  const fs::path absolute = fs::absolute(file);
  std::error_code unreadable;
  const fs::path folder = fs::weakly_canonical(absolute.parent_path(), unreadable);
  return unreadable ? absolute.string() : (folder / absolute.filename()).string();
}

}  // namespace

bool is_image_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

std::vector<fs::path> image_files(const std::vector<std::string>& arguments, i64 limit) {
  std::vector<fs::path> files;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (!fs::is_directory(argument, error)) {
      files.emplace_back(argument);
      continue;
    }
    fs::directory_iterator entries(argument, error);
    TESSERA_CHECK(!error, "{}: the folder cannot be read: {}", argument, error.message());
    std::vector<fs::path> found;
    for (const fs::directory_entry& entry : entries)
      if (is_image(entry)) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    const std::string others = passed_over(argument, found);
    TESSERA_CHECK(!found.empty(), "{}: the folder holds no JPEG or PNG file{}", argument,
                  others.empty() ? "" : ", but " + others + "; folders in it are to be named themselves");
    if (!others.empty())
      fmt::print(stderr, "{}: passed over, as JPEG and PNG files alone are read: {}\n", argument, others);
    files.insert(files.end(), found.begin(), found.end());
  }
  std::unordered_set<std::string> taken;
  std::erase_if(files, [&](const fs::path& file) { return !taken.insert(entry_of(file)).second; });
  if (limit > 0 && limit < static_cast<i64>(files.size())) files.resize(static_cast<size_t>(limit));
  return files;
}

void FailedImages::add(const fs::path& file, const std::exception& error) {
  std::string reason = error.what();
  if (reason.find(file.string()) == std::string::npos) reason = file.string() + ": " + reason;
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  fmt::print(stderr, "tessera: {}\n", reason);
  ++count_;
}

void FailedImages::check(i64 total) const {
  TESSERA_CHECK(count_ == 0, "{} of {} images failed (see above)", count_, total);
}

}  // namespace tessera
