#include "cli/history.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "train/evaluate.h"

namespace tessera {

History::History(const LogContents& log) : lines(log.passed_over) {
  const auto add = [&](const std::string& name, i64 step, double value, bool noisy) {
    if (!std::isfinite(value)) return ++numbers, false;
    Series& series = curves[name];
    series.name = name;
    series.noisy = noisy;
    series.x.push_back(static_cast<double>(step));
    series.y.push_back(value);
    return true;
  };
  for (const LogLine& line : log.lines) {
    steps = std::max(steps, line.step);
    for (const auto& [name, value] : line.figures) add(name, line.step, value, name != "lr");
    if (!line.scores.empty()) last_evaluation.clear();
    for (const auto& [metric, figures] : line.scores) {
      Figures& named = last_evaluation.emplace_back(metric, Figures{}).second;
      for (const auto& [figure, value] : figures)
        if (add(metric + " " + figure, line.step, value, false)) named.emplace_back(figure, value);
    }
  }
}

std::vector<std::string> History::main_figures() const {
  std::vector<std::string> names;
  for (const auto& [metric, figures] : last_evaluation)
    for (size_t i = 0; i < std::min<size_t>(2, figures.size()) && metric != kValidationLoss; ++i)
      names.push_back(metric + " " + figures[i].first);
  return names;
}

std::string History::passed_over() const {
  std::string text;
  if (lines > 0) text += fmt::format("; {} lines of the log, cut off or unknown, were passed over", lines);
  if (numbers > 0) text += fmt::format("; {} numbers, missing or not finite, were passed over", numbers);
  return text;
}

}  // namespace tessera
