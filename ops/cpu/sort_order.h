// The order of some numbers, as ops/sort.h defines it: a number becomes an unsigned key that compares the same way, and
// key and position are sorted together. Short rows go to std::sort, long ones to a radix sort that starts at the lowest
// digit and passes over digits that are the same everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "ops/scalar/sort.h"

namespace tessera::cpu {

template <class T>
class SortOrder {
 public:
  using Key = scalar::SortKey<T>;
  struct Entry {
    Key key;
    Key index;
  };
  static constexpr u64 kLongest = static_cast<Key>(-1);  // positions must fit into an entry

  // The n numbers' positions in order; valid until the next call.
  const std::vector<Entry>& operator()(const T* x, i64 n, bool descending) {
    entries_.resize(static_cast<size_t>(n));
    for (i64 i = 0; i < n; ++i)
      entries_[static_cast<size_t>(i)] = {scalar::sort_key(x[i], descending), static_cast<Key>(i)};
    if (n <= kShort) {
      std::sort(entries_.begin(), entries_.end(),
                [](const Entry& a, const Entry& b) { return a.key < b.key || (a.key == b.key && a.index < b.index); });
    } else {
      radix_sort();
    }
    return entries_;
  }

 private:
  static constexpr i64 kShort = 256;
  static constexpr int kDigitBits = 11, kBuckets = 1 << kDigitBits;
  static constexpr int kDigits = (static_cast<int>(sizeof(Key)) * 8 + kDigitBits - 1) / kDigitBits;

  static size_t digit(Key key, int position) { return (key >> (position * kDigitBits)) & (kBuckets - 1); }

  void radix_sort() {
    std::vector<std::array<size_t, kBuckets>> counts(kDigits);
    for (const Entry& entry : entries_)
      for (int d = 0; d < kDigits; ++d) ++counts[static_cast<size_t>(d)][digit(entry.key, d)];
    other_.resize(entries_.size());
    for (int d = 0; d < kDigits; ++d) {
      auto& at = counts[static_cast<size_t>(d)];
      if (at[digit(entries_[0].key, d)] == entries_.size()) continue;
      size_t begin = 0;
      for (size_t& count : at) begin += std::exchange(count, begin);
      for (const Entry& entry : entries_) other_[at[digit(entry.key, d)]++] = entry;
      std::swap(entries_, other_);
    }
  }

  std::vector<Entry> entries_, other_;
};

}  // namespace tessera::cpu
