#include "ops/tuned_choices.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "tensor/error.h"

namespace tessera::ops {

namespace {

constexpr const char* kExtension = ".choices";
constexpr std::string_view kFirstLine = "tessera choices 1\n";
constexpr size_t kMostBytes = size_t{64} << 20;  // half a million choices: no file of ours is larger

// The whole file, or as much of it as one byte more than is allowed.
std::string contents(int file) {
  std::string text;
  char part[1 << 16];
  for (ssize_t bytes = 0;
       text.size() <= kMostBytes && (bytes = ::pread(file, part, sizeof part, static_cast<off_t>(text.size()))) > 0;)
    text.append(part, static_cast<size_t>(bytes));
  return text;
}

bool is_field(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

// Opened, and locked against other processes, as long as it lives.
struct LockedFile {
  explicit LockedFile(const std::filesystem::path& path) {
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    while (descriptor >= 0 && ::flock(descriptor, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;
  ~LockedFile() {
    if (descriptor >= 0) ::close(descriptor);
  }
  int descriptor = -1;
};

}  // namespace

std::filesystem::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "tessera";
  if (const auto home = variable("HOME"); home.is_absolute()) return home / ".cache" / "tessera";
  return {};
}

std::filesystem::path choices_file(const std::filesystem::path& folder, std::string machine) {
  if (folder.empty()) return {};
  std::ranges::replace_if(
      machine, [](unsigned char c) { return !(std::isalnum(c) || c == '.' || c == '-'); }, '_');
  return folder / (machine + kExtension);
}

std::vector<std::filesystem::path> choices_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (entry.path().extension() == kExtension) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

std::optional<size_t> fastest(std::span<const double> times) {
  double least = std::numeric_limits<double>::infinity();
  for (const double time : times) least = std::min(least, time);
  for (size_t i = 0; i < times.size(); ++i)
    if (std::isfinite(times[i]) && times[i] <= 1.02 * least) return i;
  return std::nullopt;
}

std::string TunedChoices::choose(const std::string& what, const std::function<std::string()>& tune) {
  std::optional<LockedFile> file;
  if (usable_ && !choices_.contains(what)) read(file.emplace(file_).descriptor);
  if (const auto known = choices_.find(what); known != choices_.end()) return known->second;
  const std::string choice = tune();
  if (choice.empty()) return choice;
  choices_[what] = choice;
  if (usable_) add(file->descriptor, what, choice);
  return choice;
}

void TunedChoices::read(int file) {
  if (file < 0) return give_up(std::strerror(errno));
  const std::string text = contents(file);
  if (text.empty()) {
    lead_ = kFirstLine;
    return;
  }
  if (text.size() > kMostBytes || !text.starts_with(kFirstLine)) return give_up("it is no file of choices");
  // What was cut off must not become a choice because its line ends now: a second tab spoils it.
  lead_ = text.ends_with('\n') ? "" : "\t\n";
  int damaged = 0;
  for (auto rest = std::string_view(text).substr(kFirstLine.size()); !rest.empty();) {
    const size_t end = rest.find('\n'), tab = rest.find('\t');
    const std::string_view line = rest.substr(0, end);
    if (end != rest.npos && tab < end && is_field(line.substr(0, tab)) && is_field(line.substr(tab + 1)))
      choices_.emplace(line.substr(0, tab), line.substr(tab + 1));
    else if (!line.empty())
      ++damaged;
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  if (damaged > 0 && !std::exchange(told_, true))
    fmt::print(stderr, "tessera: {}: {} damaged lines are passed over\n", file_.string(), damaged);
}

void TunedChoices::add(int file, const std::string& what, const std::string& choice) {
  TESSERA_CHECK(is_field(what) && is_field(choice), "tuned choices: \"{}\" or \"{}\" is no plain text", what, choice);
  const std::string line = fmt::format("{}{}\t{}\n", lead_, what, choice);
  if (::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) give_up(std::strerror(errno));
}

void TunedChoices::give_up(const char* reason) {
  usable_ = false;
  fmt::print(stderr, "tessera: {} keeps no choices, which hold for this process alone: {}\n", file_.string(), reason);
}

}  // namespace tessera::ops
