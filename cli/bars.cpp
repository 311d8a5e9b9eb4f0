#include "cli/bars.h"

#include <algorithm>
#include <cmath>

#include "data/draw.h"

namespace tessera {

namespace {

constexpr i64 kText = 20;                                              // height of a line
constexpr i64 kWidth = 720, kMargin = 16, kNames = 170, kValues = 90;  // pixels; bars lie between names and values
constexpr i64 kTitle = 36, kRow = 32, kBar = 22;
constexpr Colour kWhite = {255, 255, 255}, kAxis = {120, 120, 120};

void fill(Tensor& image, i64 x, i64 y, i64 width, i64 height, Colour colour) {
  draw_box(image, x, y, width, height, colour, std::min(width, height));
}

void draw_chart(Tensor& image, const BarChart& chart, i64 top) {
  draw_text(image, kMargin, top + 8, chart.title, kText, kWhite);
  double low = 0, high = 0;
  for (const Bar& bar : chart.bars) {
    if (!std::isfinite(bar.value)) continue;
    low = std::min(low, bar.value);
    high = std::max(high, bar.value);
  }
  const double range = high > low ? high - low : 1;
  const i64 left = kMargin + kNames, length = kWidth - left - kValues - kMargin;
  const auto place = [&](double value) {
    return left + static_cast<i64>(std::lround((value - low) / range * static_cast<double>(length)));
  };
  i64 y = top + kTitle;
  for (size_t i = 0; i < chart.bars.size(); ++i, y += kRow) {
    const Bar& bar = chart.bars[i];
    draw_text(image, kMargin, y + 2, bar.name, kText, kWhite);
    draw_text(image, left + length + 8, y + 2, fmt::format("{:.4g}", bar.value), kText, kWhite);
    if (!std::isfinite(bar.value)) continue;
    const i64 from = place(std::min(bar.value, 0.0)), to = place(std::max(bar.value, 0.0));
    fill(image, from, y, to - from, kBar, colour_of(static_cast<i64>(i)));
  }
  fill(image, place(0) - 1, top + kTitle - 4, 2, y - top - kTitle, kAxis);
}

}  // namespace

Tensor draw_bars(const std::vector<BarChart>& charts) {
  i64 height = kMargin;
  for (const BarChart& chart : charts) height += kTitle + kRow * static_cast<i64>(chart.bars.size()) + kMargin;
  Tensor image = Tensor::full({height, kWidth, 3}, 255, DType::kU8);
  i64 top = kMargin;
  for (const BarChart& chart : charts) {
    draw_chart(image, chart, top);
    top += kTitle + kRow * static_cast<i64>(chart.bars.size()) + kMargin;
  }
  return image;
}

}  // namespace tessera
