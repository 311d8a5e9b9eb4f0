// What races.cpp knows of each address: the accesses that a later one can race with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::emulated::races {

using Address = std::uintptr_t;
using Time = std::uint32_t;

struct Access {
  Time time = 0;            // 0: there was none
  std::uint32_t place = 0;  // in the program, from its start
  int thread = 0;
};

struct Cell {
  Access write;
  std::array<Access, 2> reads, atomics;
};

// The cells of 4 KiB; one for as many bytes as the smallest access had.
struct Page {
  static constexpr size_t kBytes = 4096;
  size_t each = 8;
  std::vector<Cell> cells{kBytes / each};

  void refine() {
    std::vector<Cell> finer(cells.size() * 2);
    for (size_t i = 0; i < finer.size(); ++i) finer[i] = cells[i / 2];
    cells.swap(finer);
    each /= 2;
  }
};

// The pages by number, with those at hand that were touched last.
class Pages {
 public:
  Page& at(Address number) {
    auto& [known, page] = recent_[number % recent_.size()];
    if (known != number || !page) {
      known = number;
      page = &all_[number];
    }
    return *page;
  }
  Page* find(Address number) {
    const auto found = all_.find(number);
    return found == all_.end() ? nullptr : &found->second;
  }
  size_t size() const { return all_.size(); }
  void clear() {
    all_.clear();
    recent_ = {};
  }

 private:
  std::unordered_map<Address, Page> all_;
  std::array<std::pair<Address, Page*>, 256> recent_{};
};

}  // namespace tessera::emulated::races
