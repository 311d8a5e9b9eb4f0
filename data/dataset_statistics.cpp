#include "data/dataset_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tessera {

namespace {

struct Place {
  XywhBox box;
  double area;
};

// Nothing where neither box nor mask say where it is.
std::optional<Place> place_of(const CocoAnnotation& annotation, const CocoImage& image) {
  std::optional<XywhBox> box = annotation.bbox;
  std::optional<double> area = annotation.area;
  if ((!box || !area) && !std::holds_alternative<std::monostate>(annotation.segmentation)) {
    try {
      const Rle mask = annotation_mask(annotation, image.height, image.width);
      if (!box) box = rle_bbox(mask);
      if (!area) area = static_cast<double>(rle_area(mask));
    } catch (const Error&) {  // a mask that cannot be drawn
    }
  }
  if (!box || (*box)[2] <= 0 || (*box)[3] <= 0) return std::nullopt;
  return Place{*box, area.value_or((*box)[2] * (*box)[3])};
}

i64 cell_of(double place, i64 length) {
  const double cell = place / static_cast<double>(length) * static_cast<double>(DatasetStatistics::kCells);
  return static_cast<i64>(std::clamp(cell, 0.0, static_cast<double>(DatasetStatistics::kCells - 1)));
}

}  // namespace

void Histogram::add(double value) {
  const auto above = std::ranges::upper_bound(edges, value);
  ++counts[static_cast<size_t>(std::max<i64>(0, above - edges.begin() - 1))];
}

std::string Histogram::bin(size_t i) const {
  if (i + 1 == edges.size()) return fmt::format("{:.3g} on", edges[i]);
  const double last = integers ? edges[i + 1] - 1 : edges[i + 1];
  return last == edges[i] ? fmt::format("{:.3g}", last) : fmt::format("{:.3g} to {:.3g}", edges[i], last);
}

void DatasetStatistics::add(const CocoDataset& dataset) {
  std::vector<size_t> class_of;  // of the data set's categories, among ours
  for (const CocoCategory& category : dataset.categories) {
    const auto known = std::ranges::find(classes, category.name, &ClassCount::name);
    class_of.push_back(static_cast<size_t>(known - classes.begin()));
    if (known == classes.end()) classes.push_back({category.name});
  }
  for (size_t i = 0; i < dataset.images.size(); ++i) {
    const CocoImage& image = dataset.images[i];
    i64 here = 0;
    std::vector<bool> present(classes.size());
    for (const i64 position : dataset.annotations_of[i]) {
      const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
      if (annotation.iscrowd) {
        ++crowds;
        continue;
      }
      ++here;
      const size_t k = class_of[static_cast<size_t>(dataset.class_index.at(annotation.category_id))];
      ++classes[k].objects;
      present[k] = true;
      const std::optional<Place> place = place_of(annotation, image);
      if (!place) {
        ++unplaced;
        continue;
      }
      ++sizes[place->area <= 32 * 32 ? 0 : place->area <= 96 * 96 ? 1 : 2];
      sides.add(std::sqrt(std::max(0.0, place->area)));
      const auto& [x, y, width, height] = place->box;
      aspects.add(width / height);
      if (image.has_size())
        ++centres[static_cast<size_t>(cell_of(y + height / 2, image.height) * kCells +
                                      cell_of(x + width / 2, image.width))];
    }
    for (size_t k = 0; k < present.size(); ++k) classes[k].pictures += present[k];
    ++pictures;
    objects += here;
    empty += here == 0;
    per_picture.add(static_cast<double>(here));
    objects_of.push_back(here);
  }
}

DatasetStatistics::Excess DatasetStatistics::above(i64 limit) const {
  Excess excess;
  for (const i64 count : objects_of)
    if (count > limit) ++excess.pictures, excess.objects += count - limit;
  return excess;
}

}  // namespace tessera
