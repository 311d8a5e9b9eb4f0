// Things of one kind, counted, with the names of the first few: how a message speaks of many.
#pragma once

#include <fmt/ranges.h>

#include <string>
#include <utility>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

struct Tally {
  i64 count = 0;
  std::vector<std::string> first = {};

  void add(std::string name) {
    constexpr i64 kNamed = 3;
    if (++count <= kNamed) first.push_back(std::move(name));
  }
  std::string names() const {  // "a.jpg, b.jpg, c.jpg and 5 more"
    const i64 more = count - static_cast<i64>(first.size());
    return fmt::format("{}{}", fmt::join(first, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
  }
};

}  // namespace tessera
