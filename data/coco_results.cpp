#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "data/coco.h"
#include "data/coco_rle.h"
#include "data/json_writer.h"
#include "data/parallel.h"
#include "tensor/file.h"

namespace tessera {

namespace {

// One entry; its mask is built later, when all threads can help.
Detection read_detection(json::Value value, JsonRle& mask) {
  std::optional<i64> image_id, category_id;
  std::optional<double> score;
  Detection detection;
  json::for_each_field(value, [&](std::string_view key, json::Value field) {
    if (key == "image_id") {
      image_id = json::read_integer(field);
    } else if (key == "category_id") {
      category_id = json::read_integer(field);
    } else if (key == "score") {
      score = json::read_number(field);
    } else if (key == "bbox" && !json::is_null(field)) {
      std::vector<double> numbers;
      json::read_numbers(field, numbers);
      TESSERA_CHECK(numbers.empty() || numbers.size() == 4, "[x, y, width, height] is expected, this has {} numbers",
                    numbers.size());
      if (!numbers.empty()) detection.bbox = XywhBox{numbers[0], numbers[1], numbers[2], numbers[3]};
    } else if (key == "segmentation" && !json::is_null(field)) {
      TESSERA_CHECK(field.type() == simdjson::ondemand::json_type::object,
                    "a run-length mask {{\"size\", \"counts\"}} is expected");
      mask = JsonRle::read(field);
      detection.segmentation.emplace();
    }
  });
  TESSERA_CHECK(image_id, "there is no \"image_id\"");
  TESSERA_CHECK(category_id, "there is no \"category_id\"");
  TESSERA_CHECK(score, "there is no \"score\"");
  TESSERA_CHECK(detection.bbox || detection.segmentation, "there is neither a \"bbox\" nor a \"segmentation\"");
  detection.image_id = *image_id;
  detection.category_id = *category_id;
  detection.score = *score;
  return detection;
}

}  // namespace

std::vector<Detection> load_results(const std::filesystem::path& path) {
  json::Document document(path);
  std::vector<Detection> detections;
  std::vector<JsonRle> masks;
  document.for_each_element(
      [&](json::Value value) { detections.push_back(read_detection(value, masks.emplace_back())); });
  parallel_for(static_cast<i64>(detections.size()), [&](i64 i) {
    if (!detections[i].segmentation) return;
    try {
      detections[i].segmentation = masks[i].build();
    } catch (const Error& error) {
      fail("{}: [{}]: segmentation: {}", path.string(), i, error.what());
    }
  });
  return detections;
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
