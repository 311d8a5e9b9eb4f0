#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "data/coco_rle.h"
#include "data/detection_list.h"
#include "data/json_writer.h"
#include "tensor/file.h"

namespace tessera {

namespace {

// All that one thread reads in one go.
struct Part {
  std::vector<DetectionView> detections;
  RunStore runs;
  JsonRle json_mask;  // the last mask read: their memory is used again
  Rle mask;
};

std::optional<XywhBox> read_box(json::Value value) {
  XywhBox box{};
  const size_t count = json::read_some(value, box);
  TESSERA_CHECK(count == 0 || count == 4, "[x, y, width, height] is expected, this has {} numbers", count);
  return count == 0 ? std::nullopt : std::optional(box);
}

void read_detection(json::Value value, Part& part) {
  bool image_id = false, category_id = false, score = false;
  DetectionView& detection = part.detections.emplace_back();
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "image_id") {
      detection.image_id = json::read_integer(field);
      image_id = true;
    } else if (key == "category_id") {
      detection.category_id = json::read_integer(field);
      category_id = true;
    } else if (key == "score") {
      detection.score = json::read_number(field);
      score = true;
    } else if (key == "bbox" && !json::is_null(field)) {
      detection.bbox = read_box(field);
    } else if (key == "segmentation" && !json::is_null(field)) {
      TESSERA_CHECK(field.type() == simdjson::ondemand::json_type::object,
                    "a run-length mask {{\"size\", \"counts\"}} is expected");
      part.json_mask.read(field);
      part.json_mask.build(part.mask);
      detection.segmentation = RleView(part.mask.height, part.mask.width, part.runs.add(part.mask.counts));
    }
  });
  TESSERA_CHECK(image_id, "there is no \"image_id\"");
  TESSERA_CHECK(category_id, "there is no \"category_id\"");
  TESSERA_CHECK(score, "there is no \"score\"");
  TESSERA_CHECK(detection.bbox || detection.segmentation, "there is neither a \"bbox\" nor a \"segmentation\"");
}

}  // namespace

DetectionList load_detections(const std::filesystem::path& path) {
  std::vector<Part> parts = json::read_array_in_parts<Part>(path, read_detection);
  size_t count = 0;
  for (const Part& part : parts) count += part.detections.size();
  DetectionList list;
  list.detections_.reserve(count);
  for (Part& part : parts) {
    list.detections_.insert(list.detections_.end(), part.detections.begin(), part.detections.end());
    list.runs_.push_back(std::move(part.runs));
  }
  return list;
}

void save_results(const std::filesystem::path& path, const std::vector<Detection>& detections) {
  std::string text = "[";
  for (size_t i = 0; i < detections.size(); ++i) {
    const Detection& detection = detections[i];
    json::at_place(fmt::format("{}: result {}", path.string(), i), [&] {
      TESSERA_CHECK(detection.bbox || detection.segmentation, "there is neither a box nor a mask");
      fmt::format_to(std::back_inserter(text), "{}\n{{\"image_id\":{},\"category_id\":{},\"score\":", i == 0 ? "" : ",",
                     detection.image_id, detection.category_id);
      json::append_number(text, detection.score);
      if (detection.bbox) {
        text += ",\"bbox\":";
        json::append_numbers(text, *detection.bbox);
      }
      if (detection.segmentation) {
        text += ",\"segmentation\":";
        json::append_rle(text, *detection.segmentation);
      }
      text.push_back('}');
    });
  }
  text += "]\n";
  write_file(path, text);
}

}  // namespace tessera
