#include "cli/named_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "train/options.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

std::map<std::string, fs::path> all_configs() {
  std::map<std::string, fs::path> files;
  for (const fs::path& folder : {fs::path("configs"), fs::path(TESSERA_SOURCE_DIR) / "configs"}) {
    if (!fs::is_directory(folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
      if (entry.path().extension() == ".toml")  // the working directory's come first and stay
        files.emplace(entry.path().lexically_relative(folder).replace_extension().generic_string(), entry.path());
  }
  return files;
}

bool means(const std::string& name, const std::string& config) {
  return config == name || config.ends_with("/" + name);
}

// How far a config's name, or its last part, is from what was typed.
size_t distance(const std::string& typed, const std::string& config) {
  return std::min(edit_distance(typed, config), edit_distance(typed, config.substr(config.rfind('/') + 1)));
}

}  // namespace

std::vector<std::string> config_names() {
  std::vector<std::string> names;
  for (const auto& [name, file] : all_configs()) names.push_back(name);
  return names;
}

fs::path find_config(const std::string& given) {
  if (fs::is_regular_file(given)) return given;
  const std::string name = given.ends_with(".toml") ? given.substr(0, given.size() - 5) : given;
  const std::map<std::string, fs::path> files = all_configs();
  if (const auto found = files.find(name); found != files.end()) return found->second;
  std::vector<std::string> meant, known;
  for (const auto& [config, file] : files) {
    known.push_back(config);
    if (means(name, config)) meant.push_back(config);
  }
  TESSERA_CHECK(!known.empty(), "{}: no such file, and there is no folder configs with a configuration", given);
  TESSERA_CHECK(meant.size() <= 1, "configuration {}: several have this name: {}", given, fmt::join(meant, ", "));
  if (meant.size() == 1) return files.at(meant[0]);
  const auto nearest = std::min_element(
      known.begin(), known.end(), [&](const auto& a, const auto& b) { return distance(name, a) < distance(name, b); });
  fail("{}: no such file or configuration; did you mean {}? There are: {}", given, *nearest, fmt::join(known, ", "));
}

ImageSize parse_size(const std::string& text) {
  const auto number = [&](std::string_view part) {
    i64 value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    TESSERA_CHECK(error == std::errc() && end == part.data() + part.size() && value >= 3 && value <= 16384,
                  "size {}: height x width is needed, each from 3 to 16384, as in 480x640", text);
    return value;
  };
  const std::string_view view = text;
  const size_t x = view.find('x');
  if (x == std::string_view::npos) return {number(view), number(view)};
  return {number(view.substr(0, x)), number(view.substr(x + 1))};
}

}  // namespace tessera
