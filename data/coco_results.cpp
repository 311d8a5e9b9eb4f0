#include <fmt/format.h>

#include <iterator>
#include <limits>
#include <tuple>

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
  std::deque<std::string> reasons;
  JsonRle json_mask;  // the last mask read: their memory is used again
  Rle mask;
};

std::optional<XywhBox> read_box(json::Value value) {
  if (json::is_null(value)) return std::nullopt;
  XywhBox box{};
  const std::optional<size_t> count = json::find_numbers(value, box);
  if (count == 0) return std::nullopt;
  if (count != box.size()) box.fill(std::numeric_limits<double>::quiet_NaN());
  return box;
}

void read_mask(json::Value value, Part& part) {
  DetectionView& detection = part.detections.back();
  detection.segmentation.reset();
  detection.bad_mask = {};
  const auto is_no_mask = [&](std::string_view message) {
    detection.bad_mask = part.reasons.emplace_back(json::joined("segmentation", message));
  };
  if (!value.raw_json_token().starts_with('{'))
    return is_no_mask(
        fmt::format("a run-length mask {{\"size\", \"counts\"}} is expected, not {}", json::in_words(value)));
  const auto read = [&] {
    part.json_mask.read(value);
    part.json_mask.build(part.mask);
    detection.segmentation = RleView(part.mask.height, part.mask.width, part.runs.add(part.mask.counts));
  };
  json::catch_message(read, is_no_mask);
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
    } else if (key == "bbox") {
      detection.bbox = read_box(field);
    } else if (key == "segmentation") {
      read_mask(field, part);
    }
  });
  TESSERA_CHECK(image_id, "there is no \"image_id\"");
  TESSERA_CHECK(category_id, "there is no \"category_id\"");
  TESSERA_CHECK(score, "there is no \"score\"");
  const auto& [box, mask] = std::tie(detection.bbox, detection.segmentation);
  TESSERA_CHECK(box || detection.bad_mask.empty(), "{}", detection.bad_mask);
  TESSERA_CHECK(box || mask, "there is neither a \"bbox\" nor a \"segmentation\"");
  TESSERA_CHECK(mask || is_finite(*box), "bbox: [x, y, width, height] is expected, four finite numbers");
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
    list.reasons_.push_back(std::move(part.reasons));
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
