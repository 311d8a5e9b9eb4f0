#include "cli/model_report.h"

#include <fmt/ranges.h>

namespace tessera {

namespace {

std::string shape_text(const Shape& shape) {
  return fmt::format("{}", fmt::join(shape.begin(), shape.end(), "x"));
}

nlohmann::ordered_json milliseconds(const Percentiles& seconds) {
  return {{"p10", seconds.p10 * 1e3}, {"median", seconds.median * 1e3}, {"p90", seconds.p90 * 1e3}};
}

}  // namespace

double giga(double count) {
  return count / 1e9;
}

std::string megabytes(size_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string module_table(const std::vector<nn::ModuleRun>& modules, int depth) {
  std::string text = fmt::format("{:<36}{:<24}{:<18}{:>12}{:>11}{:>11}\n", "module", "kind", "output", "parameters",
                                 "GFLOPs", "GMACs");
  for (const nn::ModuleRun& run : modules) {
    if (run.depth > depth || (run.calls == 0 && run.parameters == 0)) continue;
    const std::string name =
        std::string(static_cast<size_t>(2 * run.depth), ' ') + (run.depth == 0 ? "model" : run.name);
    text +=
        fmt::format("{:<36}{:<24}{:<18}{:>12}{:>11.4f}{:>11.4f}\n", name, run.kind,
                    run.calls == 0 ? "-" : shape_text(run.output), run.parameters,
                    giga(static_cast<double>(run.work.published)), giga(static_cast<double>(run.work.multiply_adds)));
  }
  return text;
}

nlohmann::ordered_json module_json(const std::vector<nn::ModuleRun>& modules) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const nn::ModuleRun& run : modules) {
    if (run.calls == 0 && run.parameters == 0) continue;
    list.push_back({{"name", run.name},
                    {"kind", run.kind},
                    {"depth", run.depth},
                    {"output", std::vector<i64>(run.output.begin(), run.output.end())},
                    {"parameters", run.parameters},
                    {"flops", run.work.published},
                    {"multiply_adds", run.work.multiply_adds}});
  }
  return list;
}

std::string speed_table(const Speed& speed) {
  double sum = 0;  // of the medians: shares as in the paper's Table 8
  for (const Speed::Part& part : speed.parts) sum += part.seconds.median;
  std::string text = fmt::format("{:<20}{:>11}{:>8}{:>10}{:>10}\n", "part", "median ms", "share", "p10", "p90");
  const auto line = [&](const std::string& name, const Percentiles& seconds, double share) {
    text += fmt::format("{:<20}{:>11.2f}{:>7.1f}%{:>10.2f}{:>10.2f}\n", name, seconds.median * 1e3, share * 100,
                        seconds.p10 * 1e3, seconds.p90 * 1e3);
  };
  for (const Speed::Part& part : speed.parts) line(part.name, part.seconds, part.seconds.median / sum);
  line("total", speed.seconds, 1);
  return text + fmt::format("{:.2f} images per second ({} runs)\n", speed.images_per_second(), speed.runs);
}

nlohmann::ordered_json speed_json(const Speed& speed) {
  nlohmann::ordered_json parts = nlohmann::ordered_json::object();
  for (const Speed::Part& part : speed.parts) parts[part.name] = milliseconds(part.seconds);
  return {{"runs", speed.runs},
          {"images_per_second", speed.images_per_second()},
          {"milliseconds", milliseconds(speed.seconds)},
          {"parts", parts}};
}

}  // namespace tessera
