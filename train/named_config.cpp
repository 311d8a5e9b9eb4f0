#include "train/named_config.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tensor/error.h"
#include "tensor/nearest_name.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

// Of an installed library: it lies in PREFIX/lib, they in PREFIX/share/tessera.
fs::path installed_configs() {
  Dl_info library{};
  dladdr(reinterpret_cast<const void*>(&config_names), &library);
  return library.dli_fname ? fs::path(library.dli_fname).parent_path() / TESSERA_CONFIGS_FROM_LIBRARY : fs::path();
}

std::map<std::string, fs::path> all_configs() {
  std::map<std::string, fs::path> files;
  for (const fs::path& folder : {fs::path("configs"), installed_configs(), fs::path(TESSERA_SOURCE_DIR) / "configs"}) {
    std::error_code ignored;  // of a folder that cannot be looked into
    if (!fs::is_directory(folder, ignored)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
      if (entry.path().extension() == ".toml")  // those that come first stay
        files.emplace(entry.path().lexically_relative(folder).replace_extension().generic_string(), entry.path());
  }
  return files;
}

std::string last_part(const std::string& config) {
  return config.substr(config.rfind('/') + 1);
}

// Those whose last part begins with what was typed ("r50"), else the one nearest to it.
std::vector<std::string> near(const std::string& typed, const std::vector<std::string>& known) {
  std::vector<std::string> result, both = known;
  for (const std::string& config : known) {
    both.push_back(last_part(config));
    if (!typed.empty() && last_part(config).starts_with(typed)) result.push_back(config);
  }
  if (!result.empty()) return result;
  const std::string nearest = nearest_name(typed, both);
  const auto named = [&](const std::string& config) { return config == nearest || last_part(config) == nearest; };
  return {*std::find_if(known.begin(), known.end(), named)};
}

}  // namespace

std::vector<std::string> config_names() {
  std::vector<std::string> names;
  for (const auto& [name, file] : all_configs()) names.push_back(name);
  return names;
}

fs::path find_config(const std::string& given) {
  std::error_code ignored;                                                            // of a name too long for a file
  if (fs::exists(given, ignored) && !fs::is_directory(given, ignored)) return given;  // also a pipe
  const std::string name = given.ends_with(".toml") ? given.substr(0, given.size() - 5) : given;
  const std::map<std::string, fs::path> files = all_configs();
  if (const auto found = files.find(name); found != files.end()) return found->second;
  std::vector<std::string> meant, known;
  for (const auto& [config, file] : files) {
    known.push_back(config);
    if (config.ends_with("/" + name)) meant.push_back(config);
  }
  TESSERA_CHECK(!known.empty(), "{}: no such file, and there is no folder configs with a configuration", given);
  TESSERA_CHECK(meant.size() <= 1, "configuration {}: several have this name: {}", given, fmt::join(meant, ", "));
  if (meant.size() == 1) return files.at(meant[0]);
  const std::vector<std::string> nearest = near(name, known);
  TESSERA_CHECK(nearest.size() == 1, "{}: no such file or configuration; these begin so: {}", given,
                fmt::join(nearest, ", "));
  fail("{}: no such file or configuration; did you mean {}? There are: {}", given, nearest[0], fmt::join(known, ", "));
}

}  // namespace tessera
