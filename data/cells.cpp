#include "data/cells.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tessera {

namespace {

// The grid while objects take its cells.
class Cells {
 public:
  Cells(ImageSize grid, ImageSize input)
      : grid_(grid), input_(input), taken_(static_cast<size_t>(grid.height * grid.width)) {}

  i64 of_centre(const std::array<float, 4>& box) const {
    const auto [row, column] = place(box);
    return row_of(row) * grid_.width + column_of(column);
  }

  i64 nearest_free(const std::array<float, 4>& box) const {
    const auto [row, column] = place(box);
    const double height = static_cast<double>(input_.height) / static_cast<double>(grid_.height);  // of a cell
    const double width = static_cast<double>(input_.width) / static_cast<double>(grid_.width);
    const i64 y = row_of(row), x = column_of(column);
    i64 best = kNoCell;
    double least = std::numeric_limits<double>::infinity();
    for (i64 i = std::max<i64>(y - 1, 0); i < std::min(y + 2, grid_.height); ++i)
      for (i64 j = std::max<i64>(x - 1, 0); j < std::min(x + 2, grid_.width); ++j) {
        const double distance =
            std::hypot((static_cast<double>(i) + 0.5 - row) * height, (static_cast<double>(j) + 0.5 - column) * width);
        if (!is_free(i * grid_.width + j) || distance >= least) continue;
        least = distance;
        best = i * grid_.width + j;
      }
    return best;
  }

  bool is_free(i64 cell) const { return !taken_[static_cast<size_t>(cell)]; }

  i64 take(i64 cell) {
    if (cell != kNoCell) taken_[static_cast<size_t>(cell)] = true;
    return cell;
  }

 private:
  // The centre, in cells.
  std::pair<double, double> place(const std::array<float, 4>& box) const {
    return {(double{box[0]} + double{box[2]}) / 2 * static_cast<double>(grid_.height),
            (double{box[1]} + double{box[3]}) / 2 * static_cast<double>(grid_.width)};
  }
  i64 row_of(double row) const { return std::clamp<i64>(static_cast<i64>(row), 0, grid_.height - 1); }
  i64 column_of(double column) const { return std::clamp<i64>(static_cast<i64>(column), 0, grid_.width - 1); }

  ImageSize grid_, input_;
  std::vector<bool> taken_;
};

i64 pixels_of(const Tensor& masks, i64 k) {
  const Tensor mask = masks.rows(k, k + 1);
  const std::span<const u8> pixels = mask.span<u8>();
  return std::accumulate(pixels.begin(), pixels.end(), i64{0});
}

}  // namespace

PlacedObjects placed_objects(const Targets& targets, ImageSize input) {
  const auto height = static_cast<float>(input.height), width = static_cast<float>(input.width);
  PlacedObjects objects;
  for (i64 k = 0; k < targets.count(); ++k) {
    const float* box = targets.boxes.data<float>() + 4 * k;  // x0 y0 x1 y1
    objects.boxes.push_back({box[1] / height, box[0] / width, box[3] / height, box[2] / width});
    objects.areas.push_back(pixels_of(targets.masks, k));
  }
  return objects;
}

std::vector<i64> assign_cells(const PlacedObjects& objects, ImageSize grid, ImageSize input) {
  std::vector<size_t> order(objects.boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(), [&](size_t k) { return objects.areas[k]; });

  Cells cells(grid, input);
  std::vector<i64> cell(order.size(), kNoCell);
  for (const size_t k : order) {
    const i64 home = cells.of_centre(objects.boxes[k]);
    if (cells.is_free(home)) cell[k] = cells.take(home);
  }
  for (const size_t k : order)
    if (cell[k] == kNoCell) cell[k] = cells.take(cells.nearest_free(objects.boxes[k]));
  return cell;
}

CellsTaken cells_taken(const PlacedObjects& objects, ImageSize grid, ImageSize input) {
  const std::vector<i64> cell = assign_cells(objects, grid, input);
  const Cells cells(grid, input);
  CellsTaken taken;
  for (size_t k = 0; k < cell.size(); ++k) {
    taken.of_centre += cell[k] == cells.of_centre(objects.boxes[k]);
    taken.any += cell[k] != kNoCell;
  }
  return taken;
}

}  // namespace tessera
