// Line charts, and charts of named marks, as inline SVG.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace tessera {

struct Series {
  std::string name;
  std::vector<double> x, y;
  std::vector<std::string> marks = {};  // names of the points, which are then drawn one by one and not as a line
  bool noisy = false;                   // a page smooths it
};

struct Chart {
  std::string title, x_label;
  std::vector<Series> series;
  bool log_scale = false;  // of the y axis; values that are not positive are left out
  double y_low = std::numeric_limits<double>::infinity(), y_high = -y_low;  // the y axis holds at least these
};

// At most so many points: averages of neighbours. Values that are not finite are left out.
Series thinned(const Series& series, size_t most);

// How the parts of a chart look, for the page's style sheet.
extern const char* const kChartStyle;

// One <svg> element with axes, round tick values, a legend, and at most a few hundred points per series (averaged).
std::string to_svg(const Chart& chart);
// A file of its own, the charts below each other.
std::string to_svg_file(const std::vector<Chart>& charts);

std::string escape_html(const std::string& text);

}  // namespace tessera
