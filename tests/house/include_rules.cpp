#include "tests/house/include_rules.h"

#include <fmt/core.h>

#include <map>
#include <set>
#include <sstream>

namespace tessera::house {

namespace {

// Each floor and the floors it may include; its own always. data and eval need no operators: they read and judge files.
const std::map<std::string, std::set<std::string>>& floors() {
  static const std::map<std::string, std::set<std::string>> table = {
      {"tensor", {}},
      {"ops", {"tensor"}},
      {"autograd", {"tensor", "ops"}},
      {"nn", {"tensor", "ops", "autograd"}},
      {"data", {"tensor"}},
      {"eval", {"tensor", "data"}},
      {"models", {"tensor", "ops", "autograd", "nn", "data"}},
      {"train", {"tensor", "ops", "autograd", "nn", "data", "eval", "models"}},
      {"cli", {"tensor", "ops", "autograd", "nn", "data", "eval", "models", "train"}},
      {"bench", {"tensor", "ops", "autograd", "nn", "data", "eval", "models", "train", "cli"}},
      {"examples", {}},
      {"tests", {"tensor", "ops", "autograd", "nn", "data", "eval", "models", "train", "cli", "bench"}},
  };
  return table;
}

std::string floor_of(const std::string& path) {
  const size_t slash = path.find('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// The name between the delimiters of an #include line; empty for any other line.
std::string included(const std::string& line, char open, char close) {
  const size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string::npos || line[hash] != '#') return "";
  const size_t word = line.find_first_not_of(" \t", hash + 1);
  if (word == std::string::npos || line.compare(word, 7, "include") != 0) return "";
  const size_t begin = line.find_first_not_of(" \t", word + 7);
  if (begin == std::string::npos || line[begin] != open) return "";
  const size_t end = line.find(close, begin + 1);
  return end == std::string::npos ? "" : line.substr(begin + 1, end - begin - 1);
}

// The line without its comment; good enough for sources that do not hide "//" in texts before code.
std::string code_of(const std::string& line) {
  return line.substr(0, line.find("//"));
}

std::string named_device(const std::string& line) {
  const std::string code = code_of(line);
  for (const char* name : {"DeviceKind", "Device::parse", "\"cpu\"", "\"cuda"})
    if (code.find(name) != std::string::npos) return name;
  return "";
}

bool starts_with(const std::string& text, const std::string& part) {
  return text.compare(0, part.size(), part) == 0;
}

std::string wrong_quoted(const std::string& floor, const std::string& target,
                         const std::function<bool(const std::string&)>& exists) {
  if (!exists(target))
    return fmt::format("includes \"{}\", which does not exist (includes are relative to the repository root)", target);
  const std::string below = floor_of(target);
  if ((floor == "train" || floor == "cli") && below == "models" &&
      target.find('/', below.size() + 1) != std::string::npos)
    return fmt::format("includes \"{}\"; {}/ knows no family of models: models/model.h does", target, floor);
  const std::set<std::string>& allowed = floors().at(floor);
  if (below == floor || allowed.count(below)) return "";
  std::string list;
  for (const std::string& name : allowed) list += (list.empty() ? "" : ", ") + name;
  return fmt::format("{}/ includes \"{}\"; it stands on {} alone", floor, target, list.empty() ? "nothing" : list);
}

}  // namespace

std::vector<std::string> check_source(const std::string& path, const std::string& text,
                                      const std::function<bool(const std::string&)>& exists) {
  const std::string floor = floor_of(path);
  if (!floors().count(floor)) return {fmt::format("{}:1: lies on no floor of the house", path)};
  std::vector<std::string> messages;
  std::istringstream stream(text);
  int number = 0;
  const auto say = [&](const std::string& message) {
    if (!message.empty()) messages.push_back(fmt::format("{}:{}: {}", path, number, message));
  };
  for (std::string line; std::getline(stream, line);) {
    ++number;
    const std::string quoted = included(line, '"', '"'), system = included(line, '<', '>');
    if (!quoted.empty()) say(wrong_quoted(floor, quoted, exists));
    if ((starts_with(system, "cuda") || starts_with(system, "cudnn") || starts_with(system, "cublas")) &&
        floor != "tensor" && !starts_with(path, "ops/cuda/"))
      say(fmt::format("includes <{}>; CUDA belongs to ops/cuda/ and the device memory of tensor/", system));
    if (floor == "models")
      if (const std::string name = named_device(line); !name.empty())
        say(fmt::format("names a device ({}); models/ never does", name));
  }
  return messages;
}

std::string check_own_header(const std::string& path, const std::string& text,
                             const std::function<bool(const std::string&)>& exists) {
  const std::string own = path.substr(0, path.rfind('.')) + ".h";
  if (!path.ends_with(".cpp") || !exists(own)) return "";
  std::istringstream stream(text);
  std::string first;
  for (std::string line; first.empty() && std::getline(stream, line);)
    first = included(line, '"', '"') + included(line, '<', '>');
  return first == own ? "" : fmt::format("{}: must include \"{}\" before anything else", path, own);
}

}  // namespace tessera::house
