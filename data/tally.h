// Things of one kind, counted, with the names of the first few: how a message speaks of many.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/first_few.h"

namespace tessera {

struct Tally {
  static constexpr i64 kNamed = 3;
  i64 count = 0;
  std::vector<std::string> first = {};

  void add(std::string name) {
    if (++count <= kNamed) first.push_back(std::move(name));
  }
  std::string names() const { return first_few(first, static_cast<size_t>(count), kNamed); }
};

}  // namespace tessera
