#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "data/coco.h"
#include "data/coco_records.h"
#include "data/coco_rle.h"
#include "data/panoptic.h"
#include "data/rasterise.h"
#include "tensor/file.h"

namespace tessera {

namespace {

// Throws unless there are polygons or runs.
void check_segmentation(const auto& segmentation) {
  TESSERA_CHECK(!std::holds_alternative<std::monostate>(segmentation), "it has no segmentation");
  const BadMask* bad = std::get_if<BadMask>(&segmentation);
  TESSERA_CHECK(!bad, "{}", bad->reason);
}

// The image may have no size: that of the runs is enough.
void check_size(const Rle& rle, i64 height, i64 width) {
  if (height <= 0 || width <= 0) return;
  TESSERA_CHECK(rle.height == height && rle.width == width,
                "its run-length mask is {} x {} (height x width), its image {} x {}", rle.height, rle.width, height,
                width);
}

// The kind is decided by the value alone: a list of polygons, or an object.
void read_segmentation(json::Value value, CocoAnnotation& annotation) {
  annotation.segmentation = std::monostate{};
  const auto read = [&] {
    if (json::is_null(value) || json::find_string(value) == "") return;
    if (value.raw_json_token().starts_with('{')) {
      JsonRle rle;
      rle.read(value);
      if (!rle.is_empty()) rle.build(annotation.segmentation.emplace<Rle>());
      return;
    }
    Polygons parts;
    json::for_each_element(value, [&](json::Value part) {
      TESSERA_CHECK(
          part.raw_json_token().starts_with('['),
          "a polygon [x, y, x, y, ...] is expected, not {}; also a single one stands in a list: [[x, y, ...]]",
          json::in_words(part));
      json::read_numbers(part, parts.emplace_back());
      parts.back().shrink_to_fit();
    });
    if (!parts.empty()) annotation.segmentation = std::move(parts);
  };
  json::catch_message(read, [&](std::string_view message) {
    annotation.segmentation = BadMask{json::joined("segmentation", message)};
  });
}

CocoAnnotation read_annotation(json::Value value) {
  std::optional<i64> id, image_id, category_id;
  CocoAnnotation annotation;
  const auto read_field = [&](std::string_view key, json::Value field) {
    if (key == "id") {
      id = json::read_integer(field);
    } else if (key == "image_id") {
      image_id = json::read_integer(field);
    } else if (key == "category_id") {
      category_id = json::read_integer(field);
    } else if (key == "area") {
      annotation.area = json::find_number(field);
    } else if (key == "bbox") {
      XywhBox box{};
      annotation.bbox = json::find_numbers(field, box) == box.size() ? std::optional(box) : std::nullopt;
    } else if (key == "iscrowd") {
      annotation.iscrowd = json::read_flag(field);
    } else if (key == "ignore") {
      annotation.ignore = json::read_flag(field);
    } else if (key == "segmentation") {
      read_segmentation(field, annotation);
    }
  };
  const auto read = [&] {
    json::for_each_field(value, read_field);
    annotation.id = json::require(id, "id");
    annotation.image_id = json::require(image_id, "image_id");
    annotation.category_id = json::require(category_id, "category_id");
  };
  json::catch_message(read, [&](std::string_view message) {
    throw_error(id ? json::joined(fmt::format(" (id {})", *id), message) : std::string(message));
  });
  return annotation;
}

}  // namespace

void index_coco(CocoDataset& dataset) {
  json::at_place(dataset.name, [&] {
    dataset.image_index.clear();
    for (const CocoImage& image : dataset.images) {
      constexpr size_t kLongest = 4096;  // of a path on Linux; regular expressions need a stack that grows with it
      TESSERA_CHECK(image.file_name.size() <= kLongest,
                    "image {}: its file_name has {} characters; no file's has over {}", image.id,
                    image.file_name.size(), kLongest);
      const i64 position = static_cast<i64>(dataset.image_index.size());
      TESSERA_CHECK(dataset.image_index.emplace(image.id, position).second, "image id {} occurs twice", image.id);
    }
    std::stable_sort(dataset.categories.begin(), dataset.categories.end(),
                     [](const CocoCategory& a, const CocoCategory& b) {
                       return std::pair(!a.isthing, a.id) < std::pair(!b.isthing, b.id);
                     });
    dataset.class_index.clear();
    for (const CocoCategory& category : dataset.categories) {
      const i64 position = static_cast<i64>(dataset.class_index.size());
      TESSERA_CHECK(dataset.class_index.emplace(category.id, position).second, "category id {} occurs twice",
                    category.id);
    }
    dataset.annotations_of.assign(dataset.images.size(), {});
    std::unordered_set<i64> seen;
    seen.reserve(dataset.annotations.size());
    for (size_t i = 0; i < dataset.annotations.size(); ++i) {
      const CocoAnnotation& annotation = dataset.annotations[i];
      TESSERA_CHECK(seen.insert(annotation.id).second, "annotation id {} occurs twice", annotation.id);
      const auto image = dataset.image_index.find(annotation.image_id);
      TESSERA_CHECK(image != dataset.image_index.end(), "annotation {}: there is no image {}", annotation.id,
                    annotation.image_id);
      TESSERA_CHECK(dataset.class_index.contains(annotation.category_id), "annotation {}: there is no category {}",
                    annotation.id, annotation.category_id);
      TESSERA_CHECK(
          (!annotation.area || std::isfinite(*annotation.area)) && (!annotation.bbox || is_finite(*annotation.bbox)),
          "annotation {}: the box or the area is not finite", annotation.id);
      dataset.annotations_of[image->second].push_back(static_cast<i64>(i));
    }
  });
}

namespace {

CocoDataset read_entries(const std::filesystem::path& path, bool images_suffice) {
  CocoDataset dataset;
  dataset.name = path.string();
  bool images = false, categories = false, annotations = false;
  json::Document document(path);
  document.for_each_field([&](std::string_view key, json::Value value) {
    if (key == "images") {
      images = true;
      dataset.images.clear();
      json::for_each_element(value, [&](json::Value entry) { dataset.images.push_back(read_coco_image(entry)); });
    } else if (key == "categories") {
      categories = true;
      dataset.categories.clear();
      json::for_each_element(value,
                             [&](json::Value entry) { dataset.categories.push_back(read_coco_category(entry)); });
    } else if (key == "annotations") {
      annotations = true;
      dataset.annotations.clear();
      json::for_each_element(value, [&](json::Value entry) { dataset.annotations.push_back(read_annotation(entry)); });
    }
  });
  TESSERA_CHECK(annotations || !images || images_suffice,
                "{}: there is no \"annotations\": an image list, as of a test set, can be predicted on, but neither "
                "trained on nor evaluated",
                dataset.name);
  for (const auto& [present, key] :
       {std::pair(images, "images"), {categories, "categories"}, {annotations, "annotations"}})
    TESSERA_CHECK(present || (images_suffice && key != std::string_view("images")),
                  "{}: there is no \"{}\"; is this a COCO annotation file?", dataset.name, key);
  return dataset;
}

CocoDataset indexed(CocoDataset dataset) {
  index_coco(dataset);
  return dataset;
}

}  // namespace

CocoDataset load_coco(const std::filesystem::path& path) {
  return indexed(read_entries(path, false));
}

CocoDataset read_coco_entries(const std::filesystem::path& path) {
  return read_entries(path, false);
}

CocoDataset load_image_list(const std::filesystem::path& path) {
  return is_panoptic(path) ? load_panoptic_dataset(path) : indexed(read_entries(path, true));
}

bool is_finite(const XywhBox& box) {
  return std::ranges::all_of(box, [](double v) { return std::isfinite(v); });
}

std::string annotation_place(const CocoDataset& dataset, i64 position) {
  return fmt::format("{}: annotations[{}] (id {})", dataset.name, position,
                     dataset.annotations[static_cast<size_t>(position)].id);
}

void check_mask(const CocoAnnotation& annotation, const CocoImage& image) {
  check_segmentation(annotation.segmentation);
  if (const Rle* rle = std::get_if<Rle>(&annotation.segmentation)) {
    check_size(*rle, image.height, image.width);
    check_rle(*rle);
  } else if (const PngSegment* segment = std::get_if<PngSegment>(&annotation.segmentation)) {
    check_size(segment_mask(*segment), image.height, image.width);
  } else {
    TESSERA_CHECK(image.has_size(), "a mask made of polygons needs \"height\" and \"width\" of image {}", image.id);
    check_mask_size(image.height, image.width);
    check_polygons(std::get<Polygons>(annotation.segmentation));
  }
}

void check_mask(const CocoDataset& dataset, i64 position) {
  const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
  try {
    check_mask(annotation, dataset.images[static_cast<size_t>(dataset.image_index.at(annotation.image_id))]);
  } catch (const Error& error) {
    fail("{}: {}", annotation_place(dataset, position), error.what());
  }
}

Rle annotation_mask(const CocoAnnotation& annotation, i64 height, i64 width) {
  try {
    if (const Polygons* parts = std::get_if<Polygons>(&annotation.segmentation))
      return rasterise_polygons(*parts, height, width);
    check_segmentation(annotation.segmentation);
    const PngSegment* segment = std::get_if<PngSegment>(&annotation.segmentation);
    Rle rle = segment ? segment_mask(*segment) : std::get<Rle>(annotation.segmentation);
    check_size(rle, height, width);
    return rle;
  } catch (const Error& error) {
    fail("annotation {}: {}", annotation.id, error.what());
  }
}

}  // namespace tessera
