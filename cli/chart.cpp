#include "cli/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera {

namespace {

constexpr double kWidth = 720, kHeight = 300, kLeft = 62, kRight = 150, kTop = 34, kBottom = 40;
constexpr size_t kMaxPoints = 400;
const char* const kColours[] = {"#2563eb", "#dc2626", "#16a34a", "#d97706", "#7c3aed",
                                "#0891b2", "#be185d", "#4d7c0f", "#78716c", "#111827"};

// With the logarithms of the values, where there are any.
Series logarithms(Series series) {
  for (double& y : series.y) y = y > 0 ? std::log10(y) : std::numeric_limits<double>::quiet_NaN();
  return series;
}

// The step of 1, 2 or 5 times a power of ten that cuts a range into four to ten parts.
double round_step(double range) {
  const double power = std::pow(10, std::floor(std::log10(range / 4)));
  for (double factor : {1.0, 2.0, 5.0})
    if (range / (power * factor) <= 8) return power * factor;
  return power * 10;
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void include(double value) { low = std::min(low, value), high = std::max(high, value); }
  void widen() {
    if (!(low <= high)) low = 0, high = 1;
    if (high - low < 1e-12 * std::max(1.0, std::abs(high))) low -= 0.5, high += 0.5;
  }
};

// Round values inside the range.
std::vector<double> ticks(const Range& range) {
  const double step = round_step(range.high - range.low);
  std::vector<double> values;
  for (double value = std::ceil(range.low / step) * step; value <= range.high + 1e-9 * step; value += step)
    values.push_back(std::abs(value) < 1e-9 * step ? 0 : value);
  return values;
}

// For logarithms: powers of ten, and over less than three decades 2 and 5 times them as well.
std::vector<double> log_ticks(const Range& range) {
  std::vector<double> values;
  for (double power = std::floor(range.low); power <= range.high; ++power)
    for (double factor : {1.0, 2.0, 5.0}) {
      const double value = power + std::log10(factor);
      if (value >= range.low && value <= range.high && (factor == 1 || range.high - range.low < 3))
        values.push_back(value);
    }
  return values;
}

std::string dot(double x, double y, const char* colour) {
  return fmt::format("<circle fill=\"{}\" r=\"3\" cx=\"{:.1f}\" cy=\"{:.1f}\"/>", colour, x, y);
}

// px, py: where a value lies in the picture.
template <class PlaceX, class PlaceY>
std::string line(const Series& series, const PlaceX& px, const PlaceY& py, const char* colour) {
  std::string points;
  for (size_t i = 0; i < series.x.size(); ++i)
    points += fmt::format("{:.1f},{:.1f} ", px(series.x[i]), py(series.y[i]));
  const std::string svg =
      fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" points=\"{}\"/>", colour, points);
  return series.x.size() == 1 ? svg + dot(px(series.x[0]), py(series.y[0]), colour) : svg;
}

template <class PlaceX, class PlaceY>
std::string marks(const Series& series, const PlaceX& px, const PlaceY& py, const char* colour) {
  std::string svg;
  for (size_t i = 0; i < series.marks.size(); ++i) {
    const double x = px(series.x[i]), y = py(series.y[i]);
    svg += dot(x, y, colour) + fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", x + 5, y - 4,
                                           escape_html(series.marks[i]));
  }
  return svg;
}

}  // namespace

Series thinned(const Series& series, size_t most) {
  Series kept{.name = series.name, .x = {}, .y = {}, .noisy = series.noisy};
  for (size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
    if (!std::isfinite(series.y[i])) continue;
    kept.x.push_back(series.x[i]);
    kept.y.push_back(series.y[i]);
  }
  const size_t group = (kept.x.size() + most - 1) / most;
  if (group <= 1) return kept;
  Series result{.name = series.name, .x = {}, .y = {}, .noisy = series.noisy};
  for (size_t begin = 0; begin < kept.x.size(); begin += group) {
    const size_t end = std::min(begin + group, kept.x.size());
    double x = 0, y = 0;
    for (size_t i = begin; i < end; ++i) x += kept.x[i], y += kept.y[i];
    result.x.push_back(x / static_cast<double>(end - begin));
    result.y.push_back(y / static_cast<double>(end - begin));
  }
  return result;
}

const char* const kChartStyle =
    "svg { width: 100%; height: auto; background: #fff; } .grid { stroke: #e5e7eb; } "
    ".tick { font: 11px sans-serif; fill: #4b5563; } .title { font: bold 14px sans-serif; fill: #111827; }\n";

std::string escape_html(const std::string& text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string to_svg(const Chart& chart) {
  std::vector<Series> series;
  Range x_range, y_range;
  for (const Series& one : chart.series) {
    const Series scaled = chart.log_scale ? logarithms(one) : one;
    series.push_back(one.marks.empty() ? thinned(scaled, kMaxPoints) : scaled);
    for (double x : series.back().x) x_range.include(x);
    for (double y : series.back().y) y_range.include(y);
  }
  if (chart.y_low <= chart.y_high) y_range.include(chart.y_low), y_range.include(chart.y_high);
  x_range.widen();
  y_range.widen();
  const auto px = [&](double x) {
    return kLeft + (x - x_range.low) / (x_range.high - x_range.low) * (kWidth - kLeft - kRight);
  };
  const auto py = [&](double y) {
    return kHeight - kBottom - (y - y_range.low) / (y_range.high - y_range.low) * (kHeight - kTop - kBottom);
  };

  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\"><text class=\"title\" x=\"{}\" y=\"20\">{}</text>", kWidth,
                  kHeight, kLeft, escape_html(chart.title));
  for (double y : chart.log_scale ? log_ticks(y_range) : ticks(y_range)) {
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/><text class=\"tick\" "
        "text-anchor=\"end\" x=\"{}\" y=\"{:.1f}\">{:.4g}</text>",
        kLeft, kWidth - kRight, py(y), py(y), kLeft - 6, py(y) + 4, chart.log_scale ? std::pow(10, y) : y);
  }
  for (double x : ticks(x_range))
    svg += fmt::format("<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{}\">{:.6g}</text>", px(x),
                       kHeight - kBottom + 16, x);
  svg += fmt::format("<text class=\"tick\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 6, escape_html(chart.x_label));
  for (size_t i = 0; i < series.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    svg += series[i].marks.empty() ? line(series[i], px, py, colour) : marks(series[i], px, py, colour);
    const double y = kTop + 14 + 18 * static_cast<double>(i);
    svg += fmt::format(
        "<line stroke=\"{}\" stroke-width=\"3\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/><text class=\"tick\" x=\"{}\" "
        "y=\"{}\">{}</text>",
        colour, kWidth - kRight + 10, kWidth - kRight + 26, y - 4, y - 4, kWidth - kRight + 32, y,
        escape_html(series[i].name));
  }
  return svg + "</svg>";
}

std::string to_svg_file(const std::vector<Chart>& charts) {
  constexpr double kApart = kHeight + 8;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\"><style>{}</style>"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
      kWidth, kApart * static_cast<double>(charts.size()), kChartStyle);
  for (size_t i = 0; i < charts.size(); ++i) {
    std::string chart = to_svg(charts[i]);
    chart.replace(0, chart.find('>') + 1,
                  fmt::format("<g transform=\"translate(0 {})\">", kApart * static_cast<double>(i)));
    svg += chart.replace(chart.rfind("</svg>"), 6, "</g>");
  }
  return svg + "</svg>\n";
}

}  // namespace tessera
