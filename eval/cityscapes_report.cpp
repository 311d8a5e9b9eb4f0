#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "eval/cityscapes_eval.h"

namespace tessera {

std::string cityscapes_table(const CityscapesScores& scores) {
  std::string text = fmt::format("cityscapes: {} images, {} detections\n {:<12} {:>6} {:>6}\n", scores.images,
                                 scores.detections, "", "AP", "AP50");
  const auto append = [&text](const char* name, double ap, double ap50) {
    fmt::format_to(std::back_inserter(text), " {:<12} {:>6.3f} {:>6.3f}\n", name, ap, ap50);
  };
  for (size_t cls = 0; cls < kCityscapesClasses.size(); ++cls)
    append(find_cityscapes_label(kCityscapesClasses[cls])->name, scores.class_ap(cls), scores.class_ap50(cls));
  append("average", scores.mean_ap(), scores.mean_ap50());
  return text;
}

std::string cityscapes_json(const CityscapesScores& scores) {
  nlohmann::ordered_json averages = {{"allAp", scores.mean_ap()}, {"allAp50%", scores.mean_ap50()}}, overlaps, labels;
  for (size_t t = 0; t < kCityscapesThresholds; ++t) overlaps.push_back(cityscapes_threshold(t));
  for (size_t cls = 0; cls < kCityscapesClasses.size(); ++cls) {
    const char* name = find_cityscapes_label(kCityscapesClasses[cls])->name;
    averages["classes"][name] = {{"ap", scores.class_ap(cls)}, {"ap50%", scores.class_ap50(cls)}};
    labels.push_back(name);
  }
  const nlohmann::ordered_json json = {{"averages", averages},
                                       {"overlaps", overlaps},
                                       {"minRegionSizes", {100}},
                                       {"instLabels", labels},
                                       {"resultApMatrix", {scores.ap}}};
  return json.dump(1) + "\n";  // NaN becomes null
}

}  // namespace tessera
