#include "cli/chart.h"

#include <doctest/doctest.h>

#include <limits>

using namespace tessera;

TEST_CASE("chart: text from files cannot break out of the page") {
  CHECK(escape_html("<b>\"&") == "&lt;b&gt;&quot;&amp;");
  CHECK(to_svg({.title = "<script>", .x_label = "step", .series = {}}).find("<script>") == std::string::npos);
}

TEST_CASE("chart: values that cannot be drawn are left out") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Chart chart{
      .title = "loss", .x_label = "step", .series = {{"a", {0, 1, 2, 3}, {1, nan, 0, 100}}}, .log_scale = true};
  const std::string svg = to_svg(chart);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  CHECK(svg.find("polyline") != std::string::npos);
}

TEST_CASE("chart: a long series is thinned and a constant one still has a scale") {
  Series series{"a", {}, {}};
  for (int i = 0; i < 100'000; ++i) series.x.push_back(i), series.y.push_back(2);
  const std::string svg = to_svg({.title = "t", .x_label = "x", .series = {series}});
  CHECK(svg.size() < 20'000);
  CHECK(svg.find("nan") == std::string::npos);
}

TEST_CASE("chart: the y axis holds the range asked for, and a file of its own brings its style") {
  Chart chart{.title = "t", .x_label = "x", .series = {{"a", {0, 100}, {0.4, 0.6}}}};
  CHECK(to_svg(chart).find(">0.2</text>") == std::string::npos);
  chart.y_low = 0, chart.y_high = 1;
  CHECK(to_svg(chart).find(">1</text>") != std::string::npos);
  CHECK(to_svg(chart).find(">0.2</text>") != std::string::npos);
  CHECK(to_svg_file({chart}).find("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox") == 0);
  CHECK(to_svg_file({chart}).find("><style>svg {") != std::string::npos);
}

TEST_CASE("chart: marks are drawn one by one with their names, and several charts are one file") {
  const Chart chart{.title = "t", .x_label = "x", .series = {{"a", {1, 2}, {3, 4}, {"first", "<b>"}}}};
  const std::string svg = to_svg(chart);
  CHECK(svg.find(">first</text>") != std::string::npos);
  CHECK(svg.find(">&lt;b&gt;</text>") != std::string::npos);
  CHECK(svg.find("<polyline") == std::string::npos);
  const std::string file = to_svg_file({chart, chart});
  CHECK(file.find("viewBox=\"0 0 720 616\"") != std::string::npos);
  CHECK(file.find("<svg", 1) == std::string::npos);
  CHECK(file.find("translate(0 308)") != std::string::npos);
}
