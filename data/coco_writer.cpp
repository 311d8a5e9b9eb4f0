// Data sets as COCO JSON.
#include <fmt/ranges.h>

#include <iterator>

#include "data/coco.h"
#include "data/json_reader.h"
#include "data/json_writer.h"
#include "data/panoptic.h"
#include "tensor/file.h"

namespace tessera {

namespace {

template <class... Args>
void append(std::string& text, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
}

void append_object(std::string& text, const CocoImage& image) {
  append(text, "{{\"id\":{},\"height\":{},\"width\":{},\"file_name\":", image.id, image.height, image.width);
  json::append_string(text, image.file_name);
  if (image.neg_category_ids)
    append(text, ",\"neg_category_ids\":[{}],\"not_exhaustive_category_ids\":[{}]",
           fmt::join(*image.neg_category_ids, ","), fmt::join(image.not_exhaustive_category_ids, ","));
  text.push_back('}');
}

void append_object(std::string& text, const CocoCategory& category) {
  append(text, "{{\"id\":{},\"name\":", category.id);
  json::append_string(text, category.name);
  if (!category.synset.empty()) {
    text += ",\"synset\":";
    json::append_string(text, category.synset);
  }
  if (!category.isthing) text += ",\"isthing\":0";
  if (category.frequency != 0) append(text, ",\"frequency\":\"{}\"", category.frequency);
  text += ",\"supercategory\":\"\"}";
}

void append_object(std::string& text, const CocoAnnotation& annotation) {
  append(text, "{{\"id\":{},\"image_id\":{},\"category_id\":{},\"iscrowd\":{}", annotation.id, annotation.image_id,
         annotation.category_id, annotation.iscrowd ? 1 : 0);
  if (annotation.area) {
    text += ",\"area\":";
    json::append_number(text, *annotation.area);
  }
  if (annotation.bbox) {
    text += ",\"bbox\":";
    json::append_numbers(text, *annotation.bbox);
  }
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
  } else if (const PngSegment* segment = std::get_if<PngSegment>(&annotation.segmentation)) {
    text += ",\"segmentation\":";
    json::append_rle(text, segment_mask(*segment));
  }
  text.push_back('}');
}

// Its elements, each on a line.
template <class T>
void append_list(std::string& text, const char* name, const std::vector<T>& objects) {
  append(text, ",\n\"{}\":[", name);
  const char* separator = "\n";
  for (const T& object : objects) {
    text += separator;
    append_object(text, object);
    separator = ",\n";
  }
  text += "]";
}

}  // namespace

void save_coco(const std::filesystem::path& path, const CocoDataset& dataset) {
  for (const CocoAnnotation& annotation : dataset.annotations) {
    const BadMask* bad = std::get_if<BadMask>(&annotation.segmentation);
    TESSERA_CHECK(!bad, "{}: annotation {}: {}", path.string(), annotation.id, bad->reason);
  }
  // "info" and "licenses" are empty but present: the COCO tool copies them when it loads results.
  std::string text = "{\"info\":{},\"licenses\":[]";
  json::at_place(path.string(), [&] {
    append_list(text, "images", dataset.images);
    append_list(text, "categories", dataset.categories);
    append_list(text, "annotations", dataset.annotations);
  });
  write_file(path, text + "}\n");
}

}  // namespace tessera
