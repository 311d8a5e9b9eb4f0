#include <fmt/format.h>

#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include "eval/panoptic_quality.h"

namespace tessera {

std::string panoptic_table(const PanopticScores& scores) {
  std::string text = fmt::format("{}: {} images, {} segments\n {:<24} {:>6} {:>6} {:>6} {:>6}\n",
                                 scores.boundary ? "panoptic-boundary" : "panoptic", scores.images, scores.segments, "",
                                 "PQ", "SQ", "RQ", "n");
  const auto append = [&text]<class... Counts>(const std::string& name, const auto& row, Counts... counts) {
    fmt::format_to(std::back_inserter(text), " {:<24} {:>6.1f} {:>6.1f} {:>6.1f}", name, 100 * row[0], 100 * row[1],
                   100 * row[2]);
    (fmt::format_to(std::back_inserter(text), " {:>6}", counts), ...);
    text.push_back('\n');
  };
  for (const auto& [name, mean] :
       {std::pair("All", scores.all()), {"Things", scores.things()}, {"Stuff", scores.stuff()}})
    append(name, std::array{mean.pq, mean.sq, mean.rq}, mean.categories);
  fmt::format_to(std::back_inserter(text), "\n {:<24} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}\n", "category", "PQ", "SQ",
                 "RQ", "TP", "FP", "FN");
  for (size_t c = 0; c < scores.categories.size(); ++c) {
    const PanopticCounts& counts = scores.counts[c];
    if (counts.any())
      append(scores.categories[c].name, std::array{counts.pq(), counts.sq(), counts.rq()}, counts.right, counts.wrong,
             counts.missed);
  }
  return text;
}

std::string panoptic_json(const PanopticScores& scores) {
  nlohmann::ordered_json json;
  for (const auto& [name, mean] :
       {std::pair("All", scores.all()), {"Things", scores.things()}, {"Stuff", scores.stuff()}})
    json[name] = {{"pq", mean.pq}, {"sq", mean.sq}, {"rq", mean.rq}, {"n", mean.categories}};
  nlohmann::ordered_json classes = nlohmann::ordered_json::object(), all_counts = nlohmann::ordered_json::object();
  for (size_t c = 0; c < scores.categories.size(); ++c) {
    const PanopticCounts& counts = scores.counts[c];
    const std::string id = std::to_string(scores.categories[c].id);
    classes[id] = {{"pq", counts.pq()}, {"sq", counts.sq()}, {"rq", counts.rq()}};
    if (counts.any())
      all_counts[id] = {{"iou", counts.iou}, {"tp", counts.right}, {"fp", counts.wrong}, {"fn", counts.missed}};
  }
  json["per_class"] = classes;
  json["counts"] = all_counts;
  return json.dump(1) + "\n";
}

}  // namespace tessera
