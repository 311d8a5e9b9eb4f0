#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "eval/coco_eval.h"

namespace tessera {

const char* name_of(CocoTask task) {
  return task == CocoTask::kSegm ? "segm" : "bbox";
}

std::string coco_table(const CocoEvalResult& result) {
  struct Line {
    const char *kind, *iou, *area;
    int limit;
  };
  static constexpr std::array<Line, 12> kLines = {{{"Average Precision", "0.50:0.95", "all", 100},
                                                   {"Average Precision", "0.50", "all", 100},
                                                   {"Average Precision", "0.75", "all", 100},
                                                   {"Average Precision", "0.50:0.95", "small", 100},
                                                   {"Average Precision", "0.50:0.95", "medium", 100},
                                                   {"Average Precision", "0.50:0.95", "large", 100},
                                                   {"Average Recall", "0.50:0.95", "all", 1},
                                                   {"Average Recall", "0.50:0.95", "all", 10},
                                                   {"Average Recall", "0.50:0.95", "all", 100},
                                                   {"Average Recall", "0.50:0.95", "small", 100},
                                                   {"Average Recall", "0.50:0.95", "medium", 100},
                                                   {"Average Recall", "0.50:0.95", "large", 100}}};
  std::string text =
      fmt::format("{}: {} images, {} detections\n", name_of(result.task), result.images, result.detections);
  for (size_t i = 0; i < kLines.size(); ++i) {
    const Line& line = kLines[i];
    fmt::format_to(std::back_inserter(text), " {:<17}  {:<5}  IoU {:<9}  area {:<6}  max {:>3}  = {:6.3f}\n", line.kind,
                   kCocoStatNames[i], line.iou, line.area, line.limit, result.stats[i]);
  }
  for (const std::string& warning : result.warnings) text += "warning: " + warning + "\n";
  return text;
}

std::string coco_json(std::span<const CocoEvalResult> results) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const CocoEvalResult& result : results) {
    nlohmann::ordered_json& task = json[name_of(result.task)];
    for (size_t i = 0; i < kCocoStatNames.size(); ++i) task["stats"][kCocoStatNames[i]] = result.stats[i];
    task["per_category"] = nlohmann::ordered_json::array();
    for (const CocoCategoryResult& category : result.per_category) {
      task["per_category"].push_back({{"id", category.id},
                                      {"name", category.name},
                                      {"AP", category.ap},
                                      {"AP50", category.ap50},
                                      {"AP75", category.ap75},
                                      {"APs", category.ap_small},
                                      {"APm", category.ap_medium},
                                      {"APl", category.ap_large},
                                      {"AR100", category.ar100}});
    }
  }
  return json.dump(1) + "\n";
}

}  // namespace tessera
