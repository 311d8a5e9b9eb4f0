// What is in a data set, counted: classes, objects per picture, their sizes, shapes and places.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "data/coco.h"

namespace tessera {

// Bin i holds values from edges[i] up to, but without, edges[i + 1]; the last has no end.
struct Histogram {
  std::vector<double> edges;  // ascending; below the first there are no values
  bool integers = false;      // the values are
  std::vector<i64> counts = std::vector<i64>(edges.size());

  void add(double value);
  std::string bin(size_t i) const;  // "8 to 16", "512 on"; of integers "4", "5 to 9"
};

struct ClassCount {
  std::string name;
  i64 objects = 0, pictures = 0;  // that have one
};

struct DatasetStatistics {
  static constexpr i64 kCells = 16;  // of the map of centres, on each side

  i64 pictures = 0, empty = 0;      // empty: without an object
  i64 objects = 0, crowds = 0;      // crowd regions are no objects
  i64 unplaced = 0;                 // objects without a box or a mask that can be drawn, in no histogram of sizes
  std::vector<ClassCount> classes;  // by name, in the order in which they come
  std::array<i64, 3> sizes{};       // small, medium, large, as COCO: up to 32^2, up to 96^2, more pixels
  Histogram per_picture{{0, 1, 2, 3, 4, 5, 10, 20, 50, 100, 200}, true};              // objects
  Histogram sides{{0, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512}};           // sqrt(area) in pixels
  Histogram aspects{{0, 0.25, 0.5, 0.75, 1, 4.0 / 3, 2, 4}};                          // width over height
  std::vector<i64> centres = std::vector<i64>(static_cast<size_t>(kCells * kCells));  // [row, column] of the picture
  std::vector<i64> objects_of;                                                        // of each picture, in order

  // Another set, whose classes of the same names are the same. An area that is not annotated is the mask's, or else the
  // box's; a box that is not annotated the mask's.
  void add(const CocoDataset& dataset);

  // How many pictures have more objects than a model can find, and how many objects that are too many.
  struct Excess {
    i64 pictures = 0, objects = 0;
  };
  Excess above(i64 limit) const;
};

}  // namespace tessera
