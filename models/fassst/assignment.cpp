#include "models/fassst/assignment.h"

#include <algorithm>

namespace tessera::fassst {

Assignment assign(const Batch& batch, ImageSize grid) {
  Assignment all;
  for (i64 b = 0; b < batch.size(); ++b) {
    const Targets& targets = batch.samples[static_cast<size_t>(b)].targets;
    const PlacedObjects objects = placed_objects(targets, batch.padded);
    const std::vector<i64> cell = assign_cells(objects, grid, batch.padded);
    std::vector<std::pair<i64, i64>> pairs;
    for (i64 k = 0; k < targets.count(); ++k)
      if (cell[static_cast<size_t>(k)] != kNoCell)
        pairs.emplace_back(b * grid.height * grid.width + cell[static_cast<size_t>(k)], std::ssize(all.boxes) + k);
    all.boxes.insert(all.boxes.end(), objects.boxes.begin(), objects.boxes.end());
    all.picture.insert(all.picture.end(), static_cast<size_t>(targets.count()), b);
    const std::span<const i64> classes = targets.classes.span<i64>();
    all.classes.insert(all.classes.end(), classes.begin(), classes.end());
    std::ranges::sort(pairs);
    for (const auto& [place, object] : pairs) {
      all.cell.push_back(place);
      all.object.push_back(object);
    }
  }
  return all;
}

}  // namespace tessera::fassst
