// A data set in parts: pictures to train on, to validate on and to test on.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "data/coco.h"

namespace tessera {

inline constexpr size_t kSplitParts = 3;
inline constexpr std::array<const char*, kSplitParts> kSplitNames = {"train", "val", "test"};

struct SplitConfig {
  double val = 0.2, test = 0;  // shares of the objects of every class; the rest is to train on
  u64 seed = 1;
  // Regular expression (ECMAScript) that is found in the name of every picture; pictures for which its first group (of
  // an expression without groups: what it matches) is the same stay together. Empty: each picture is on its own.
  std::string group = {};

  std::array<double, kSplitParts> shares() const { return {1 - val - test, val, test}; }
};

struct Split {
  std::vector<size_t> part_of;  // of each picture: the place in kSplitNames
  i64 groups = 0;
};

// Iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", 2011), with
// groups for examples and counts of objects (crowd regions are none) for labels: class by class, from the one with the
// fewest objects in groups that have no part yet, each of its groups goes to the part that wants most objects of the
// class, of several such to the one that wants most pictures. Groups come in an order by the seed. Groups without
// objects fill up the pictures. The last groups go to parts that have none.
//
// Throws when the shares make no sense, when the expression is none or is not found in a name, and when there are fewer
// groups than parts.
Split split_data_set(const CocoDataset& dataset, const SplitConfig& config);

// The texts of the parts' annotation files. Images and annotations are those of `file`, which `dataset` was read from,
// as they stand there, and so is everything else in it: licences, keys that Tessera does not know.
std::array<std::string, kSplitParts> split_file(const std::filesystem::path& file, const CocoDataset& dataset,
                                                const Split& split);

}  // namespace tessera
