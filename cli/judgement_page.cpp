#include "cli/judgement_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/precision_recall.h"
#include "data/image.h"

namespace tessera {

namespace {

constexpr size_t kExtremes = 4, kSpread = 8;  // pictures shown: worst and best, and others
constexpr size_t kMatrixClasses = 30, kMixedUp = 10;

std::string figure(double value) {
  return value < 0 ? "-" : fmt::format("{:.3f}", value);
}

std::vector<i64> objects_per_class(const CocoDataset& set) {
  std::vector<i64> counts(set.categories.size());
  for (const CocoAnnotation& annotation : set.annotations)
    if (!annotation.iscrowd) ++counts[static_cast<size_t>(set.class_index.at(annotation.category_id))];
  return counts;
}

std::string classes_html(const Judgement& judgement) {
  const std::vector<i64> counts = objects_per_class(judgement.set);
  std::string html;
  for (const ApResult& result : judgement.averages) {
    std::vector<std::vector<std::string>> rows{{"class", "objects", "AP", "AP50", "AP75", "APs", "APm", "APl", "AR"}};
    i64 absent = 0;
    for (size_t k = 0; k < result.per_category.size(); ++k) {
      const ApCategory& c = result.per_category[k];
      if (counts[k] == 0 && c.ap < 0) {
        ++absent;
        continue;
      }
      rows.push_back({c.name, std::to_string(counts[k]), figure(c.ap), figure(c.ap50), figure(c.ap75),
                      figure(c.ap_small), figure(c.ap_medium), figure(c.ap_large), figure(c.ar)});
    }
    html += html_table(
        fmt::format("{}, by class{}", name_of(result.task),
                    absent > 0 ? fmt::format("; {} classes without an object are left out", absent) : std::string()),
        rows);
    html += chart_figures(std::vector{precision_recall_chart(result), precision_recall_by_category(result, counts)});
  }
  return html;
}

// The classes that have a count, the most frequent first where there are too many; the background last.
std::vector<i64> matrix_classes(const Confusion& confusion, i64& left_out) {
  const i64 K = confusion.classes;
  std::vector<i64> shown, sums(static_cast<size_t>(K));
  for (i64 k = 0; k < K; ++k) {
    for (i64 other = 0; other <= K; ++other) sums[k] += confusion.count(k, other) + confusion.count(other, k);
    if (sums[k] > 0) shown.push_back(k);
  }
  if (shown.size() > kMatrixClasses) {
    std::ranges::stable_sort(shown, std::ranges::greater(), [&](i64 k) { return sums[k]; });
    left_out = std::ssize(shown) - static_cast<i64>(kMatrixClasses);
    shown.resize(kMatrixClasses);
    std::ranges::sort(shown);
  }
  shown.push_back(K);
  return shown;
}

std::string class_name(const Judgement& judgement, i64 k) {
  return k == judgement.confusion.classes ? "background" : judgement.set.categories[static_cast<size_t>(k)].name;
}

std::string matrix_html(const Judgement& judgement) {
  const Confusion& confusion = judgement.confusion;
  i64 left_out = 0;
  const std::vector<i64> shown = matrix_classes(confusion, left_out);
  std::string html = fmt::format(
      "<p>Rows: annotated; columns: found, from a score of {:.2f} on and an overlap of 0.5, the best first "
      "(docs/evaluation.md). A cell is as strong as its part of the row; what never happened is empty.{}</p>\n"
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"confusion matrix\"><table><tr><td></td>",
      judgement.score, left_out > 0 ? fmt::format(" {} rarer classes are left out.", left_out) : std::string());
  for (const i64 k : shown) html += "<th scope=\"col\">" + escape_html(class_name(judgement, k)) + "</th>";
  html += "</tr>\n";
  for (const i64 row : shown) {
    i64 sum = 0;
    for (i64 k = 0; k <= confusion.classes; ++k) sum += confusion.count(row, k);
    html += "<tr><th scope=\"row\">" + escape_html(class_name(judgement, row)) + "</th>";
    for (const i64 k : shown) {
      const i64 count = confusion.count(row, k);
      html += count == 0 ? "<td></td>"
                         : fmt::format("<td class=\"heat\" style=\"--v:{:.3f}\">{}</td>",
                                       static_cast<double>(count) / static_cast<double>(sum), count);
    }
    html += "</tr>\n";
  }
  html += "</table></div>\n";
  std::vector<std::pair<i64, std::string>> mixed_up;
  for (i64 row = 0; row < confusion.classes; ++row)
    for (i64 k = 0; k < confusion.classes; ++k)
      if (row != k && confusion.count(row, k) > 0)
        mixed_up.emplace_back(confusion.count(row, k), fmt::format("{} found as {}: {}", class_name(judgement, row),
                                                                   class_name(judgement, k), confusion.count(row, k)));
  if (mixed_up.empty()) return html;
  std::ranges::stable_sort(mixed_up, std::ranges::greater(), &std::pair<i64, std::string>::first);
  html += fmt::format("<p>Mixed up most often, of {} pairs of classes:</p><ul>", mixed_up.size());
  for (size_t i = 0; i < std::min(kMixedUp, mixed_up.size()); ++i)
    html += "<li>" + escape_html(mixed_up[i].second) + "</li>";
  return html + "</ul>\n";
}

std::string mistakes_html(const TideResult& tide) {
  std::vector<std::vector<std::string>> rows{{"mistake", "number", "dAP50"}};
  constexpr std::array<const char*, kTideErrors> kMeanings = {"Cls: on an object of another class",
                                                              "Loc: of the right class, badly placed",
                                                              "Both: class and place are wrong",
                                                              "Dupe: on an object that was found",
                                                              "Bkg: on nothing",
                                                              "Miss: an object not found"};
  std::vector<double> points;
  for (size_t kind = 0; kind < kTideErrors; ++kind) {
    points.push_back(std::round(tide.dap[kind] * 100) / 100);
    rows.push_back({kMeanings[kind], std::to_string(tide.errors[kind].size()), fmt::format("{:.2f}", tide.dap[kind])});
  }
  return html_table(fmt::format("TIDE, {}: by how many points AP50 ({:.2f}) would rise without the mistakes of a kind",
                                name_of(tide.task), tide.ap50()),
                    rows) +
         bar_figure("dAP50 by kind of mistake", {kTideErrorNames.begin(), kTideErrorNames.end()}, points);
}

std::string pictures_section(const Judgement& judgement) {
  std::vector<i64> by_quality;
  for (i64 i = 0; i < std::ssize(judgement.set.images); ++i)
    if (!std::isnan(judgement.confusion.quality[i])) by_quality.push_back(i);
  std::ranges::stable_sort(by_quality, {}, [&](i64 i) { return judgement.confusion.quality[i]; });
  const size_t each = std::min(kExtremes, by_quality.size() / 2);
  const std::vector<i64> worst(by_quality.begin(), by_quality.begin() + static_cast<i64>(each));
  const std::vector<i64> best(by_quality.rbegin(), by_quality.rbegin() + static_cast<i64>(each));
  std::vector<i64> others = spread(std::ssize(judgement.set.images), kSpread);
  std::erase_if(others, [&](i64 i) { return std::ranges::count(worst, i) + std::ranges::count(best, i) > 0; });
  std::string html = layer_form(std::ssize(judgement.set.categories), judgement.score);
  i64 number = 0;
  const std::string who = "predicted";
  for (const auto& [title, pictures] :
       {std::pair{"Worst", worst}, std::pair{"Best", best}, std::pair{"Spread over the set", others}}) {
    if (pictures.empty()) continue;
    html += fmt::format("<h3>{}</h3>\n", title) + pictures_html({&judgement, 1}, {&who, 1}, pictures, number);
    number += std::ssize(pictures);
  }
  return html;
}

}  // namespace

std::string pictures_html(std::span<const Judgement> judgements, std::span<const std::string> names,
                          std::span<const i64> pictures, i64 number) {
  std::string html;
  for (const i64 picture : pictures) {
    const std::string& file = judgements[0].set.images[static_cast<size_t>(picture)].file_name;
    std::vector<Panel> panels{annotated_panel(judgements[0], picture)};
    std::string qualities = "quality";
    for (size_t i = 0; i < judgements.size(); ++i) {
      panels.push_back(found_panel(judgements[i], picture, names[i]));
      const double quality = judgements[i].confusion.quality[static_cast<size_t>(picture)];
      qualities += std::isnan(quality) ? " -" : fmt::format(" {:.3f}", quality);
    }
    html += or_reason(file, [&] {
      return picture_panels(load_image(judgements[0].folder / file), file, qualities, panels, number++);
    });
  }
  return html;
}

std::vector<PageSection> judgement_sections(const Judgement& judgement) {
  std::string lead = fmt::format("<p>{} pictures of the validation set were judged, {} objects.</p>\n",
                                 judgement.set.images.size(), judgement.set.annotations.size());
  for (const std::string& line : judgement.left_out) lead += "<p>" + escape_html(line) + "</p>\n";
  return {{"classes", "Classes", lead + classes_html(judgement)},
          {"confusion", "Confusion", matrix_html(judgement)},
          {"mistakes", "Mistakes", mistakes_html(judgement.tide)},
          {"pictures", "Pictures", pictures_section(judgement)}};
}

}  // namespace tessera
