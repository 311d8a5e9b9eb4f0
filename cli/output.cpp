#include "cli/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "tensor/error.h"
#include "tensor/file.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

fs::path without_links(const fs::path& path) {
  std::error_code unreadable;
  const fs::path canonical = fs::weakly_canonical(fs::absolute(path), unreadable);
  return unreadable ? fs::absolute(path).lexically_normal() : canonical;
}

// Equal for all names of one file: its number on its device, and of a file that is yet to be written the path without
// links.
std::string identity(const fs::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) return fmt::format("{}:{}", status.st_dev, status.st_ino);
  return without_links(path).string();
}

// A file is written by its folder, or by the first one above that is there; what is no regular file (a pipe,
// /dev/stdout) by itself.
void check_writable(const fs::path& output) {
  const auto may = [](const fs::path& path, int mode) {
    return faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
  };
  fs::path place = output;
  std::error_code absent;
  if (!fs::exists(output, absent) || fs::is_regular_file(output, absent)) place = without_links(output).parent_path();
  while (!may(place, F_OK) && (errno == ENOENT || errno == ENOTDIR)) place = place.parent_path();
  TESSERA_CHECK(may(place, W_OK), "{}: cannot be written: {}: {}; nothing was computed", output.string(),
                place.string(), std::strerror(errno));
}

}  // namespace

void check_outputs(const std::vector<fs::path>& outputs, const std::vector<fs::path>& inputs) {
  std::unordered_map<std::string, const fs::path*> written;
  std::unordered_set<std::string> folders;  // of outputs that can be written
  for (const fs::path& output : outputs) {
    if (output.empty()) continue;
    std::error_code absent;
    TESSERA_CHECK(!fs::is_directory(output, absent), "{}: is a folder, and a file of this name would be written",
                  output.string());
    if (fs::is_symlink(output, absent) || folders.insert(output.parent_path().string()).second) check_writable(output);
    const auto [other, first] = written.emplace(identity(output), &output);
    TESSERA_CHECK(first, "{}: would be written twice, also as {}; nothing was computed", other->second->string(),
                  output.string());
  }
  for (const fs::path& input : inputs) {
    if (input.empty()) continue;
    const auto found = written.find(identity(input));
    TESSERA_CHECK(found == written.end(),
                  "{}: is read by this call, and {} would overwrite it; nothing was computed, choose another place for "
                  "what is written",
                  input.string(), found->second->string());
  }
}

void write_output(const fs::path& path, const std::string& text) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  write_file(path, text);
}

}  // namespace tessera
