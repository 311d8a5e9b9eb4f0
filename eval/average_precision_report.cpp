#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include "eval/average_precision.h"
#include "eval/match.h"

namespace tessera {

const char* name_of(ApTask task) {
  constexpr std::array kNames = {"segm", "bbox", "boundary"};
  return kNames.at(static_cast<size_t>(task));
}

std::string ap_table(const ApResult& result) {
  static constexpr const char* kAreas[] = {"all", "small", "medium", "large"};
  std::string text =
      fmt::format("{}: {} images, {} detections\n", name_of(result.task), result.images, result.detections);
  for (size_t i = 0; i < result.stats.size(); ++i) {
    const ApStat& stat = result.stat_rules[i];
    const std::string iou = stat.threshold < 0 ? "0.50:0.95" : fmt::format("{:.2f}", kIouThresholds[stat.threshold]);
    const std::string frequency =
        result.lvis ? fmt::format("  freq {:<3}", stat.frequency ? std::string(1, stat.frequency) : "all") : "";
    fmt::format_to(std::back_inserter(text), " {:<17}  {:<7}  IoU {:<9}  area {:<6}{}  max {:>3}  = {:6.3f}\n",
                   stat.recall ? "Average Recall" : "Average Precision", stat.name, iou, kAreas[stat.area], frequency,
                   result.limits[stat.limit], result.stats[i]);
  }
  for (const std::string& warning : result.warnings) text += "warning: " + warning + "\n";
  return text;
}

std::string ap_json(std::span<const ApResult> results) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const ApResult& result : results) {
    nlohmann::ordered_json& task = json[name_of(result.task)];
    nlohmann::ordered_json& stats = task[result.lvis ? "results" : "stats"];
    for (size_t i = 0; i < result.stats.size(); ++i) stats[result.stat_rules[i].name] = result.stats[i];
    task["per_category"] = nlohmann::ordered_json::array();
    for (const ApCategory& category : result.per_category) {
      nlohmann::ordered_json& entry = task["per_category"].emplace_back();
      entry["id"] = category.id;
      entry["name"] = category.name;
      if (result.lvis) entry["frequency"] = std::string(1, category.frequency);
      entry["AP"] = category.ap;
      entry["AP50"] = category.ap50;
      entry["AP75"] = category.ap75;
      entry["APs"] = category.ap_small;
      entry["APm"] = category.ap_medium;
      entry["APl"] = category.ap_large;
      entry[result.lvis ? "AR" : "AR100"] = category.ar;
    }
  }
  return json.dump(1) + "\n";
}

}  // namespace tessera
