#include "cli/data_stats_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/page.h"

namespace tessera {

namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

constexpr size_t kListed = 20;  // classes, of the terminal
constexpr size_t kBars = 40;    // and as bars
constexpr std::array<const char*, 3> kSizes = {"small (up to 32^2)", "medium (up to 96^2)", "large"};

std::string percent(i64 part, i64 whole) {
  return fmt::format("{:.1f} %", 100 * static_cast<double>(part) / static_cast<double>(std::max<i64>(1, whole)));
}

std::vector<ClassCount> by_frequency(const DatasetStatistics& found) {
  std::vector<ClassCount> classes = found.classes;
  std::ranges::stable_sort(classes, std::ranges::greater(), &ClassCount::objects);
  return classes;
}

// "rarer classes: 60 with 1,234 objects; 3 without an object"
std::string rest_of(const std::vector<ClassCount>& classes, size_t shown) {
  i64 rarer = 0, objects = 0, absent = 0;
  for (size_t i = shown; i < classes.size(); ++i) {
    (classes[i].objects > 0 ? rarer : absent) += 1;
    objects += classes[i].objects;
  }
  std::string text;
  if (rarer > 0) text = fmt::format("{} rarer classes with {} objects", rarer, objects);
  if (absent > 0) text += fmt::format("{}{} classes without an object", text.empty() ? "" : ", ", absent);
  return text;
}

Rows rows_of(const DatasetStatistics& found, const std::vector<ClassCount>& classes, size_t shown) {
  Rows rows{{"class", "objects", "share", "pictures"}};
  for (size_t i = 0; i < std::min(shown, classes.size()); ++i)
    rows.push_back({classes[i].name, std::to_string(classes[i].objects), percent(classes[i].objects, found.objects),
                    std::to_string(classes[i].pictures)});
  return rows;
}

std::string lines_of(const std::string& title, const Histogram& histogram) {
  std::string text = "\n" + title + "\n";
  const i64 most = std::max<i64>(1, std::ranges::max(histogram.counts));
  for (size_t i = 0; i < histogram.counts.size(); ++i)
    text += fmt::format("{:>14} {:>9}{}\n", histogram.bin(i), histogram.counts[i],
                        histogram.counts[i] > 0 ? "  " + std::string(1 + 39 * histogram.counts[i] / most, '#') : "");
  return text;
}

std::string bars_of(const std::string& title, const Histogram& histogram) {
  std::vector<std::string> names;
  for (size_t i = 0; i < histogram.counts.size(); ++i) names.push_back(histogram.bin(i));
  return bar_figure(title, names, {histogram.counts.begin(), histogram.counts.end()});
}

Json json_of(const Histogram& histogram) {
  return {{"edges", histogram.edges}, {"counts", histogram.counts}};
}

std::string heat_map_figure(const std::vector<i64>& centres) {
  constexpr i64 kCells = DatasetStatistics::kCells, kSide = 20;
  const i64 most = std::max<i64>(1, std::ranges::max(centres));
  std::string cells;
  for (i64 i = 0; i < kCells * kCells; ++i)
    cells +=
        fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" opacity=\"{:.3f}\"><title>{}</title></rect>",
                    i % kCells * kSide, i / kCells * kSide, kSide, kSide,
                    static_cast<double>(centres[static_cast<size_t>(i)]) / static_cast<double>(most),
                    centres[static_cast<size_t>(i)]);
  return fmt::format(
      "<figure><figcaption>Where the centres of boxes lie, in fractions of the picture; the darkest cell has {}."
      "</figcaption><svg class=\"bars heat-map\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"map of the centres of "
      "boxes, {} x {} cells, at most {} in one\">{}<rect class=\"frame\" width=\"{}\" height=\"{}\"/></svg></figure>\n",
      most, kCells * kSide, kCells * kSide, kCells, kCells, most, cells, kCells * kSide, kCells * kSide);
}

std::string limit_text(const StatisticsReport& report) {
  if (!report.limit) return "";
  const DatasetStatistics::Excess excess = report.found.above(report.limit->objects);
  if (excess.pictures == 0)
    return fmt::format("no picture has more than {} objects ({})", report.limit->objects, report.limit->option);
  return fmt::format("{} pictures have more than {} objects ({}): {} objects cannot be found", excess.pictures,
                     report.limit->objects, report.limit->option, excess.objects);
}

std::string counts_text(const DatasetStatistics& found) {
  std::string text = fmt::format("{} pictures, {} without objects; {} objects of {} classes", found.pictures,
                                 found.empty, found.objects, found.classes.size());
  if (found.crowds > 0) text += fmt::format("; {} crowd regions are not counted", found.crowds);
  if (found.unplaced > 0) text += fmt::format("; {} objects have neither a box nor a mask to measure", found.unplaced);
  return text;
}

}  // namespace

std::string StatisticsReport::text() const {
  const std::vector<ClassCount> classes = by_frequency(found);
  std::string text = counts_text(found) + "\n";
  if (limit) text += limit_text(*this) + "\n";
  text += "\n";
  for (const auto& row : rows_of(found, classes, kListed))
    text += fmt::format("{:>9} {:>9} {:>9}  {}\n", row[1], row[2], row[3], row[0]);
  if (const std::string rest = rest_of(classes, kListed); !rest.empty()) text += "  " + rest + "\n";
  text += "\nsizes\n";
  for (size_t i = 0; i < kSizes.size(); ++i)
    text += fmt::format("{:>20} {:>9}  {}\n", kSizes[i], found.sizes[i],
                        percent(found.sizes[i], found.objects - found.unplaced));
  return text + lines_of("objects per picture", found.per_picture) + lines_of("sqrt(area) in pixels", found.sides) +
         lines_of("width over height", found.aspects);
}

std::string StatisticsReport::json() const {
  Json json{{"pictures", found.pictures}, {"empty", found.empty},       {"objects", found.objects},
            {"crowds", found.crowds},     {"unplaced", found.unplaced}, {"classes", Json::array()}};
  for (const ClassCount& c : found.classes)
    json["classes"].push_back({{"name", c.name}, {"objects", c.objects}, {"pictures", c.pictures}});
  json["sizes"] = {{"small", found.sizes[0]}, {"medium", found.sizes[1]}, {"large", found.sizes[2]}};
  json["objects_per_picture"] = json_of(found.per_picture);
  json["sqrt_area"] = json_of(found.sides);
  json["aspect"] = json_of(found.aspects);
  json["centres"] = {{"cells", DatasetStatistics::kCells}, {"counts", found.centres}};
  if (limit) {
    const DatasetStatistics::Excess excess = found.above(limit->objects);
    json["limit"] = {{"objects", limit->objects},
                     {"option", limit->option},
                     {"pictures_above", excess.pictures},
                     {"objects_above", excess.objects}};
  }
  return json.dump(1) + "\n";
}

std::string StatisticsReport::page(const std::string& title) const {
  const std::vector<ClassCount> classes = by_frequency(found);
  std::vector<std::string> names;
  std::vector<double> counts;
  for (size_t i = 0; i < std::min(kBars, classes.size()); ++i)
    names.push_back(classes[i].name), counts.push_back(static_cast<double>(classes[i].objects));
  const std::string rest = rest_of(classes, kBars);
  Rows sizes{{"size", "objects", "share"}};
  for (size_t i = 0; i < kSizes.size(); ++i)
    sizes.push_back(
        {kSizes[i], std::to_string(found.sizes[i]), percent(found.sizes[i], found.objects - found.unplaced)});
  const std::string above = limit ? "<p>" + escape_html(limit_text(*this)) + "</p>\n" : "";
  const std::vector<PageSection> sections = {
      {"classes", "Classes",
       bar_figure("objects per class" + (rest.empty() ? "" : "; not shown: " + rest), names, counts) +
           html_table("objects by class", rows_of(found, classes, classes.size()))},
      {"per-picture", "Objects per picture", above + bars_of("pictures by their number of objects", found.per_picture)},
      {"sizes", "Sizes", html_table("sizes as COCO has them", sizes) + bars_of("sqrt(area) in pixels", found.sides)},
      {"shapes", "Shapes", bars_of("width over height of the box", found.aspects)},
      {"places", "Places", heat_map_figure(found.centres)},
      {"grids", "Grids", grids.empty() ? "" : "<pre tabindex=\"0\">" + escape_html(grids) + "</pre>\n"}};
  return html_page(title, counts_text(found) + ".", sections);
}

}  // namespace tessera
