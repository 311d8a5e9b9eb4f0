#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <unordered_set>

#include "data/coco.h"
#include "data/coco_rle.h"
#include "data/json_writer.h"
#include "data/rasterise.h"
#include "tensor/file.h"

namespace tessera {

namespace {

template <class T>
T require(const std::optional<T>& value, const char* key) {
  TESSERA_CHECK(value, "there is no \"{}\"", key);
  return *value;
}

// The last two parts of .../val2017/000000000042.jpg: the folder and the name.
std::string name_from_url(std::string_view url) {
  const size_t name = url.rfind('/');
  TESSERA_CHECK(name != std::string_view::npos && name > 0, "\"{}\" does not end in a folder and a file", url);
  const size_t folder = url.rfind('/', name - 1);
  return std::string(url.substr(folder == std::string_view::npos ? 0 : folder + 1));
}

CocoImage read_image(json::Value value) {
  std::optional<i64> id, height, width;
  std::optional<std::string> file_name, named_by_url;
  CocoImage image;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "id")
      id = json::read_integer(field);
    else if (key == "height")
      height = json::read_integer(field);
    else if (key == "width")
      width = json::read_integer(field);
    else if (key == "file_name")
      file_name = json::read_string(field);
    else if (key == "coco_url" && !json::is_null(field))
      named_by_url = name_from_url(json::read_string(field));
    else if (key == "neg_category_ids")
      json::read_integers(field, image.neg_category_ids.emplace());
    else if (key == "not_exhaustive_category_ids") {
      image.not_exhaustive_category_ids.clear();
      json::read_integers(field, image.not_exhaustive_category_ids);
    }
  });
  image.id = require(id, "id");
  image.file_name = file_name ? *file_name : require(named_by_url, "file_name");
  constexpr size_t kCocoName = std::string_view("000000000042.jpg").size();
  if (image.neg_category_ids && image.file_name.starts_with("COCO_") && image.file_name.size() > kCocoName)
    image.file_name.erase(0, image.file_name.size() - kCocoName);
  image.height = require(height, "height");
  image.width = require(width, "width");
  return image;
}

CocoCategory read_category(json::Value value) {
  std::optional<i64> id;
  std::optional<std::string> name;
  CocoCategory category;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "id")
      id = json::read_integer(field);
    else if (key == "name")
      name = json::read_string(field);
    else if (key == "synset" && !json::is_null(field))
      category.synset = json::read_string(field);
    else if (key == "frequency") {
      const std::string_view letter = json::read_string(field);
      TESSERA_CHECK(letter == "r" || letter == "c" || letter == "f", "r, c or f is expected, not \"{}\"", letter);
      category.frequency = letter[0];
    }
  });
  category.id = require(id, "id");
  category.name = require(name, "name");
  return category;
}

// The kind is decided by the value alone: a list of polygons, or an object.
void read_segmentation(json::Value value, CocoAnnotation& annotation, std::optional<JsonRle>& rle) {
  annotation.segmentation = std::monostate{};
  rle.reset();
  if (json::is_null(value)) return;
  if (value.type() == simdjson::ondemand::json_type::object) {
    rle.emplace().read(value);
    return;
  }
  Polygons parts;
  json::for_each_element(value, [&](json::Value part) {
    json::read_numbers(part, parts.emplace_back());
    parts.back().shrink_to_fit();
  });
  if (!parts.empty()) annotation.segmentation = std::move(parts);
}

CocoAnnotation read_annotation(json::Value value) {
  std::optional<i64> id, image_id, category_id;
  std::optional<double> area;
  bool has_box = false;
  std::optional<JsonRle> rle;
  CocoAnnotation annotation;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "id") {
      id = json::read_integer(field);
    } else if (key == "image_id") {
      image_id = json::read_integer(field);
    } else if (key == "category_id") {
      category_id = json::read_integer(field);
    } else if (key == "area") {
      area = json::read_number(field);
    } else if (key == "bbox") {
      json::read_exactly(field, annotation.bbox);
      has_box = true;
    } else if (key == "iscrowd") {
      const i64 flag = json::read_integer(field);
      TESSERA_CHECK(flag == 0 || flag == 1, "0 or 1 is expected, not {}", flag);
      annotation.iscrowd = flag == 1;
    } else if (key == "ignore" && !json::is_null(field)) {
      annotation.ignore = json::read_number(field) != 0;
    } else if (key == "segmentation") {
      read_segmentation(field, annotation, rle);
    }
  });
  annotation.id = require(id, "id");
  json::at_place(fmt::format("annotation {}", *id), [&] {
    annotation.image_id = require(image_id, "image_id");
    annotation.category_id = require(category_id, "category_id");
    annotation.area = require(area, "area");
    TESSERA_CHECK(has_box, "there is no \"bbox\"");
    if (rle) rle->build(annotation.segmentation.emplace<Rle>());
  });
  return annotation;
}

void check_annotation(const CocoAnnotation& annotation, const CocoImage& image) {
  const bool finite = std::isfinite(annotation.area) && std::all_of(annotation.bbox.begin(), annotation.bbox.end(),
                                                                    [](double v) { return std::isfinite(v); });
  TESSERA_CHECK(finite, "the box or the area is not finite");
  if (const Polygons* parts = std::get_if<Polygons>(&annotation.segmentation)) {
    TESSERA_CHECK(!parts->empty() && parts->front().size() > 4,
                  "a polygon of {} numbers, at least three points (6) are needed",
                  parts->empty() ? 0 : parts->front().size());
  } else if (const Rle* rle = std::get_if<Rle>(&annotation.segmentation)) {
    TESSERA_CHECK(rle->height == image.height && rle->width == image.width,
                  "its run-length mask is {} x {} (height x width), image {} is {} x {}", rle->height, rle->width,
                  image.id, image.height, image.width);
    check_rle(*rle);
  }
}

}  // namespace

void index_coco(CocoDataset& dataset) {
  json::at_place(dataset.name, [&] {
    dataset.image_index.clear();
    for (const CocoImage& image : dataset.images) {
      const i64 position = static_cast<i64>(dataset.image_index.size());
      TESSERA_CHECK(dataset.image_index.emplace(image.id, position).second, "image id {} occurs twice", image.id);
      json::at_place(fmt::format("image {}", image.id), [&] { check_mask_size(image.height, image.width); });
    }
    std::stable_sort(dataset.categories.begin(), dataset.categories.end(),
                     [](const CocoCategory& a, const CocoCategory& b) { return a.id < b.id; });
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
      try {
        check_annotation(annotation, dataset.images[image->second]);
      } catch (const Error& error) {
        fail("annotation {}: {}", annotation.id, error.what());
      }
      dataset.annotations_of[image->second].push_back(static_cast<i64>(i));
    }
  });
}

namespace {

CocoDataset read_coco(const std::filesystem::path& path, bool images_suffice) {
  CocoDataset dataset;
  dataset.name = path.string();
  bool images = false, categories = false, annotations = false;
  json::Document document(path);
  document.for_each_field([&](std::string_view key, json::Value value) {
    if (key == "images") {
      images = true;
      dataset.images.clear();
      json::for_each_element(value, [&](json::Value entry) { dataset.images.push_back(read_image(entry)); });
    } else if (key == "categories") {
      categories = true;
      dataset.categories.clear();
      json::for_each_element(value, [&](json::Value entry) { dataset.categories.push_back(read_category(entry)); });
    } else if (key == "annotations") {
      annotations = true;
      dataset.annotations.clear();
      json::for_each_element(value, [&](json::Value entry) { dataset.annotations.push_back(read_annotation(entry)); });
    }
  });
  for (const auto& [present, key] :
       {std::pair(images, "images"), {categories, "categories"}, {annotations, "annotations"}})
    TESSERA_CHECK(present || (images_suffice && key != std::string_view("images")),
                  "{}: there is no \"{}\"; is this a COCO annotation file?", dataset.name, key);
  index_coco(dataset);
  return dataset;
}

}  // namespace

CocoDataset load_coco(const std::filesystem::path& path) {
  return read_coco(path, false);
}

CocoDataset load_image_list(const std::filesystem::path& path) {
  return read_coco(path, true);
}

void save_coco(const std::filesystem::path& path, const CocoDataset& dataset) {
  std::string text;
  auto append = [&text]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  };
  json::at_place(path.string(), [&] {
    // "info" and "licenses" are empty but present: the COCO tool copies them when it loads results.
    text = "{\"info\":{},\"licenses\":[],\n\"images\":[";
    const char* separator = "\n";
    for (const CocoImage& image : dataset.images) {
      append("{}{{\"id\":{},\"height\":{},\"width\":{},\"file_name\":", separator, image.id, image.height, image.width);
      json::append_string(text, image.file_name);
      if (image.neg_category_ids)
        append(",\"neg_category_ids\":[{}],\"not_exhaustive_category_ids\":[{}]",
               fmt::join(*image.neg_category_ids, ","), fmt::join(image.not_exhaustive_category_ids, ","));
      text.push_back('}');
      separator = ",\n";
    }
    text += "],\n\"categories\":[";
    separator = "\n";
    for (const CocoCategory& category : dataset.categories) {
      append("{}{{\"id\":{},\"name\":", separator, category.id);
      json::append_string(text, category.name);
      if (!category.synset.empty()) {
        text += ",\"synset\":";
        json::append_string(text, category.synset);
      }
      if (category.frequency != 0) append(",\"frequency\":\"{}\"", category.frequency);
      text += ",\"supercategory\":\"\"}";
      separator = ",\n";
    }
    text += "],\n\"annotations\":[";
    separator = "\n";
    for (const CocoAnnotation& annotation : dataset.annotations) {
      append("{}{{\"id\":{},\"image_id\":{},\"category_id\":{},\"iscrowd\":{},\"area\":", separator, annotation.id,
             annotation.image_id, annotation.category_id, annotation.iscrowd ? 1 : 0);
      json::append_number(text, annotation.area);
      text += ",\"bbox\":";
      json::append_numbers(text, annotation.bbox);
      if (annotation.ignore) text += ",\"ignore\":1";
      if (const Polygons* parts = std::get_if<Polygons>(&annotation.segmentation)) {
        text += ",\"segmentation\":[";
        for (size_t i = 0; i < parts->size(); ++i) {
          if (i > 0) text.push_back(',');
          json::append_numbers(text, (*parts)[i]);
        }
        text.push_back(']');
      } else if (const Rle* rle = std::get_if<Rle>(&annotation.segmentation)) {
        text += ",\"segmentation\":";
        json::append_rle(text, *rle);
      }
      text.push_back('}');
      separator = ",\n";
    }
    text += "]}\n";
  });
  write_file(path, text);
}

Rle annotation_mask(const CocoAnnotation& annotation, i64 height, i64 width) {
  try {
    if (const Polygons* parts = std::get_if<Polygons>(&annotation.segmentation))
      return rasterise_polygons(*parts, height, width);
    const Rle* rle = std::get_if<Rle>(&annotation.segmentation);
    TESSERA_CHECK(rle, "it has no segmentation");
    TESSERA_CHECK(rle->height == height && rle->width == width, "its run-length mask is {} x {}, the image {} x {}",
                  rle->height, rle->width, height, width);
    return *rle;
  } catch (const Error& error) {
    fail("annotation {}: {}", annotation.id, error.what());
  }
}

}  // namespace tessera
