#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "eval/tide.h"

namespace tessera {

std::string tide_table(const TideResult& result) {
  static constexpr std::array<const char*, kTideErrors> kMeanings = {"on an object of another class",
                                                                     "on an object of its class, badly placed",
                                                                     "wrong class and badly placed",
                                                                     "on an object already found",
                                                                     "on no object",
                                                                     "an object that nothing is on"};
  std::string text =
      fmt::format("{}: {} images, {} detections\n", name_of(result.task), result.images, result.detections);
  const auto append = [&text]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  };
  append(" AP50 {:.2f}, AP50:95 {:.2f} of 100 (TIDE's mean over classes)\n", result.ap50(), result.ap);
  append(" {:<9} {:>7} {:>8}\n", "mistake", "dAP50", "count");
  for (size_t kind = 0; kind < kTideErrors; ++kind)
    append(" {:<9} {:>7.2f} {:>8}  {}\n", kTideErrorNames[kind], result.dap[kind], result.errors[kind].size(),
           kMeanings[kind]);
  append(" {:<9} {:>7.2f} {:>8}  all wrong detections\n", "FalsePos", result.dap_false_pos, "");
  append(" {:<9} {:>7.2f} {:>8}  all objects not found\n", "FalseNeg", result.dap_false_neg, "");
  return text;
}

std::string tide_json(std::span<const TideResult> results) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const TideResult& result : results) {
    nlohmann::ordered_json& task = json[name_of(result.task)];
    task["AP50"] = result.ap50();
    task["AP_per_threshold"] = result.ap_per_threshold;
    task["AP_50_95"] = result.ap;
    for (size_t kind = 0; kind < kTideErrors; ++kind) {
      task["main_dAP"][kTideErrorNames[kind]] = result.dap[kind];
      task["counts"][kTideErrorNames[kind]] = result.errors[kind].size();
      task["error_index"][kTideErrorNames[kind]] = result.errors[kind];
    }
    task["special_dAP"] = {{"FalsePos", result.dap_false_pos}, {"FalseNeg", result.dap_false_neg}};
  }
  return json.dump(1) + "\n";
}

}  // namespace tessera
