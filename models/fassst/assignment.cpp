#include "models/fassst/assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tessera::fassst {

namespace {

// The grid while objects take its cells.
class Cells {
 public:
  Cells(ImageSize grid, ImageSize input)
      : grid_(grid), input_(input), taken_(static_cast<size_t>(grid.height * grid.width)) {}

  i64 home(const std::array<float, 4>& box) const {
    const auto [row, column] = place(box);
    const i64 cell = row_of(row) * grid_.width + column_of(column);
    return taken_[static_cast<size_t>(cell)] ? kNoCell : cell;
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
        if (taken_[static_cast<size_t>(i * grid_.width + j)] || distance >= least) continue;
        least = distance;
        best = i * grid_.width + j;
      }
    return best;
  }

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

std::vector<i64> assign_cells(std::span<const std::array<float, 4>> boxes, std::span<const i64> areas, ImageSize grid,
                              ImageSize input) {
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(), [&](size_t k) { return areas[k]; });

  Cells cells(grid, input);
  std::vector<i64> cell(boxes.size(), kNoCell);
  for (const size_t k : order) cell[k] = cells.take(cells.home(boxes[k]));
  for (const size_t k : order)
    if (cell[k] == kNoCell) cell[k] = cells.take(cells.nearest_free(boxes[k]));
  return cell;
}

Assignment assign(const Batch& batch, ImageSize grid) {
  Assignment all;
  const auto height = static_cast<float>(batch.padded.height), width = static_cast<float>(batch.padded.width);
  for (i64 b = 0; b < batch.size(); ++b) {
    const Targets& targets = batch.samples[static_cast<size_t>(b)].targets;
    const i64 first = std::ssize(all.boxes);
    std::vector<i64> areas;
    for (i64 k = 0; k < targets.count(); ++k) {
      const float* box = targets.boxes.data<float>() + 4 * k;  // x0 y0 x1 y1
      all.boxes.push_back({box[1] / height, box[0] / width, box[3] / height, box[2] / width});
      all.picture.push_back(b);
      all.classes.push_back(targets.classes.data<i64>()[k]);
      areas.push_back(pixels_of(targets.masks, k));
    }
    const std::vector<i64> cell =
        assign_cells(std::span(all.boxes).subspan(static_cast<size_t>(first)), areas, grid, batch.padded);
    std::vector<std::pair<i64, i64>> pairs;
    for (i64 k = 0; k < targets.count(); ++k)
      if (cell[static_cast<size_t>(k)] != kNoCell)
        pairs.emplace_back(b * grid.height * grid.width + cell[static_cast<size_t>(k)], first + k);
    std::ranges::sort(pairs);
    for (const auto& [place, object] : pairs) {
      all.cell.push_back(place);
      all.object.push_back(object);
    }
  }
  return all;
}

}  // namespace tessera::fassst
