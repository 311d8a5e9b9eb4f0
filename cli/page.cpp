#include "cli/page.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace tessera {

namespace {

constexpr size_t kLivePoints = 1500;  // of a series

// JSON within a page, where "</script" would end it.
std::string json_text(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '"' || c == '\\' || c == '<')
      json += fmt::format("\\u{:04x}", byte);
    else
      json += c;
  }
  return json + '"';
}

// "loss: 4.5 at 1 to 0.3 at 200", what there is to read for who does not see it.
std::string summary_of(const Chart& chart, const std::vector<Series>& series) {
  std::string text = fmt::format("{} over {}.", chart.title, chart.x_label);
  for (const Series& one : series)
    text += fmt::format(" {}: from {:.4g} to {:.4g}, at most {:.4g}.", one.name, one.y.front(), one.y.back(),
                        std::ranges::max(one.y));
  return text;
}

}  // namespace

const char* const kSmoothing =
    "<p class=\"tools\"><label>smoothing <input type=\"range\" id=\"smoothing\" min=\"0\" max=\"0.99\" step=\"0.01\" "
    "value=\"0.8\"> <output>0.8</output></label> <span class=\"quiet\">drag over a chart to zoom, double-click for the "
    "whole; keys: arrows, + and -, Escape</span></p>\n";

std::string html_page(const std::string& title, const std::string& lead, std::span<const PageSection> sections) {
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>\n{1}</style></head>\n<body>\n<header><h1>{0}</h1>\n<p>{2}</p>\n",
      escape_html(title), kPageStyle, escape_html(lead));
  page += "<nav aria-label=\"Contents\"><ul>";
  for (const PageSection& section : sections)
    if (!section.html.empty())
      page += fmt::format("<li><a href=\"#{}\">{}</a></li>", section.id, escape_html(section.title));
  page += "</ul></nav></header>\n<main>\n";
  for (const PageSection& section : sections)
    if (!section.html.empty())
      page += fmt::format(
          "<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>\n{2}"
          "</section>\n",
          section.id, escape_html(section.title), section.html);
  return page + fmt::format("</main>\n<script>\n{}</script>\n</body>\n</html>\n", kPageScript);
}

std::string chart_figure(const Chart& chart) {
  std::vector<Series> series;
  for (const Series& one : chart.series)
    if (Series few = thinned(one, kLivePoints); !few.x.empty()) series.push_back(std::move(few));
  if (series.empty()) return "";
  std::string list;
  for (const Series& one : series)
    list += fmt::format("{}{{\"name\":{},\"noisy\":{},\"x\":[{:.9g}],\"y\":[{:.6g}]}}", list.empty() ? "" : ",",
                        json_text(one.name), one.noisy, fmt::join(one.x, ","), fmt::join(one.y, ","));
  const std::string range = chart.y_low <= chart.y_high ? fmt::format("[{},{}]", chart.y_low, chart.y_high) : "null";
  return fmt::format(
      "<figure class=\"chart\">{}<script type=\"application/json\">{{\"title\":{},\"x\":{},\"log\":{},\"y\":{},"
      "\"summary\":{},\"series\":[{}]}}</script></figure>\n",
      to_svg(chart), json_text(chart.title), json_text(chart.x_label), chart.log_scale, range,
      json_text(summary_of(chart, series)), list);
}

std::string chart_figures(std::span<const Chart> charts) {
  std::string html;
  for (const Chart& chart : charts) html += chart_figure(chart);
  return html.empty() ? "" : "<div class=\"charts\">\n" + html + "</div>\n";
}

std::string html_table(const std::string& caption, const std::vector<std::vector<std::string>>& rows, bool text) {
  std::string html = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption class=\"quiet\">{0}"
      "</caption>\n",
      escape_html(caption));
  for (size_t i = 0; i < rows.size(); ++i) {
    html += "<tr>";
    for (size_t j = 0; j < rows[i].size(); ++j) {
      const std::string cell = escape_html(rows[i][j]);
      if (i == 0)
        html += j == 0 && cell.empty() ? "<td></td>" : "<th scope=\"col\">" + cell + "</th>";
      else if (j == 0)
        html += "<th scope=\"row\">" + cell + "</th>";
      else
        html += (text ? "<td class=\"text\">" : "<td>") + cell + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string bar_figure(const std::string& title, const std::vector<std::string>& names,
                       const std::vector<double>& values) {
  constexpr double kRow = 18, kNames = 115, kBar = 225, kWidth = 400;
  const double highest = values.empty() ? 0 : std::max(0.0, std::ranges::max(values));
  std::string bars, summary = title + ".";
  for (size_t i = 0; i < values.size(); ++i) {
    const double y = kRow * static_cast<double>(i), width = highest > 0 ? std::max(0.0, values[i]) / highest * kBar : 0;
    bars += fmt::format(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"/>"
        "<text x=\"{:.1f}\" y=\"{}\">{:.6g}</text>",
        kNames - 6, y + 14, escape_html(names[i]), kNames, y + 3, width, kRow - 6, kNames + width + 6, y + 14,
        values[i]);
    summary += fmt::format(" {}: {:.6g}.", names[i], values[i]);
  }
  return fmt::format(
      "<figure><figcaption>{}</figcaption><svg class=\"bars\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}"
      "</svg></figure>\n",
      escape_html(title), kWidth, kRow * static_cast<double>(std::max<size_t>(1, values.size())), escape_html(summary),
      bars);
}

}  // namespace tessera
