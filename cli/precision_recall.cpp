#include "cli/precision_recall.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "cli/output.h"
#include "eval/accumulate.h"

namespace tessera {

namespace {

constexpr size_t kAreas = 4;  // of which the first holds objects of every size

// precision[t][r][k] for objects of all sizes and the largest number of detections; -1 without ground truth.
double precision_at(const ApResult& result, size_t t, size_t r, size_t k) {
  const size_t K = result.per_category.size(), M = result.limits.size();
  return result.precision.at((((t * kRecallSteps + r) * K + k) * kAreas + 0) * M + M - 1);
}

std::string title_of(const ApResult& result, const std::string& what) {
  return fmt::format("{}: precision over recall, {}", name_of(result.task), what);
}

size_t find_category(const ApResult& result, const std::string& name) {
  std::vector<std::string> known;
  for (size_t k = 0; k < result.per_category.size(); ++k) {
    if (result.per_category[k].name == name) return k;
    known.push_back(result.per_category[k].name);
  }
  fail("curves: there is no category \"{}\"; {}", name, fmt::join(known, ", "));
}

std::string page_of(const ApResult& result, const std::vector<Chart>& charts) {
  std::string page = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{0} precision and recall</title><style>"
      "body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}\n"
      "figure {{ margin: 1rem 0; }}\n{1}</style><body><h1>{0}: precision over recall</h1>\n",
      name_of(result.task), kChartStyle);
  page += fmt::format(
      "<p>{} images, {} detections. One curve per overlap threshold; the figure beside it is the area "
      "under it, the average precision.</p>\n",
      result.images, result.detections);
  for (const Chart& chart : charts) page += "<figure>" + to_svg(chart) + "</figure>\n";
  return page + "</body></html>\n";
}

}  // namespace

Chart precision_recall_chart(const ApResult& result, std::optional<size_t> category) {
  Chart chart{.title = title_of(result, category ? result.per_category.at(*category).name : "mean of the categories"),
              .x_label = "recall",
              .series = {},
              .y_low = 0,
              .y_high = 1};
  for (size_t t = 0; t < kIouThresholds.size(); ++t) {
    Series series;
    double sum = 0;
    for (size_t r = 0; r < kRecallSteps; ++r) {
      std::vector<double> present;
      for (size_t k = 0; k < result.per_category.size(); ++k)
        if (!category || k == *category)
          if (const double p = precision_at(result, t, r, k); p > -1) present.push_back(p);
      if (present.empty()) continue;
      series.x.push_back(static_cast<double>(r) / (kRecallSteps - 1));
      series.y.push_back(mean_of_present(present));
      sum += series.y.back();
    }
    series.name = fmt::format("IoU {:.2f}: {:.3f}", kIouThresholds[t], sum / kRecallSteps);
    if (!series.x.empty()) chart.series.push_back(std::move(series));
  }
  return chart;
}

Chart precision_recall_by_category(const ApResult& result, const std::vector<i64>& counts, size_t most) {
  Chart chart{.title = title_of(result, "IoU 0.50"), .x_label = "recall", .series = {}, .y_low = 0, .y_high = 1};
  std::vector<size_t> order;
  for (size_t k = 0; k < result.per_category.size(); ++k)
    if (precision_at(result, 0, 0, k) > -1) order.push_back(k);
  std::ranges::stable_sort(order, std::ranges::greater(), [&](size_t k) { return counts.at(k); });
  if (order.size() > most) {
    chart.title += fmt::format(", the {} most frequent of {} classes", most, order.size());
    order.resize(most);
  }
  for (const size_t k : order) {
    Series series{
        .name = fmt::format("{}: {:.3f}", result.per_category[k].name, result.per_category[k].ap50), .x = {}, .y = {}};
    for (size_t r = 0; r < kRecallSteps; ++r) {
      series.x.push_back(static_cast<double>(r) / (kRecallSteps - 1));
      series.y.push_back(precision_at(result, 0, r, k));
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void write_precision_recall(const std::filesystem::path& path, const ApResult& result, const std::string& category) {
  const std::optional<size_t> chosen = category.empty() ? std::nullopt : std::optional(find_category(result, category));
  if (path.extension() == ".svg") return write_output(path, to_svg_file({precision_recall_chart(result, chosen)}));
  TESSERA_CHECK(path.extension() == ".html", "curves: {} must end in .svg or .html", path.string());
  std::vector<Chart> charts = {precision_recall_chart(result, chosen)};
  if (!chosen && result.per_category.size() > 1)
    for (size_t k = 0; k < result.per_category.size(); ++k)
      if (Chart chart = precision_recall_chart(result, k); !chart.series.empty()) charts.push_back(std::move(chart));
  write_output(path, page_of(result, charts));
}

}  // namespace tessera
