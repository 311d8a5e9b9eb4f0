// How a message speaks of many: by the first few, and how many more there are.
#pragma once

#include <fmt/ranges.h>

#include <string>
#include <vector>

namespace tessera {

// "a, b, c and 5 more" of `count` names, of which `names` has the first, at most `shown` of them.
inline std::string first_few(const std::vector<std::string>& names, size_t count, size_t shown,
                             const char* separator = ", ") {
  const size_t told = names.size() < shown ? names.size() : shown;
  const std::string list = fmt::format("{}", fmt::join(names.begin(), names.begin() + told, separator));
  return count > told ? fmt::format("{} and {} more", list, count - told) : list;
}

}  // namespace tessera
