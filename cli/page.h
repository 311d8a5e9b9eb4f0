// The pages that the program writes: a file each, which loads nothing from elsewhere, with the style and the script of
// cli/page.
#pragma once

#include <fmt/core.h>

#include <span>
#include <string>
#include <vector>

#include "cli/chart.h"
#include "tensor/error.h"

namespace tessera {

extern const char* const kPageStyle;   // page/page.css
extern const char* const kPageScript;  // page/page.js

// A part of a page that its table of contents names. One without content is left out.
struct PageSection {
  std::string id, title, html;
};

std::string html_page(const std::string& title, const std::string& lead, std::span<const PageSection> sections);

// A chart that the script makes live: values under the pointer, zoom, logarithms; without the script it is to_svg().
// Empty where no series has a point.
std::string chart_figure(const Chart& chart);
// Charts side by side as far as the page is wide.
std::string chart_figures(std::span<const Chart> charts);

// The slider that smooths the noisy curves of all charts of the page.
extern const char* const kSmoothing;

// A table whose first row and column are headings. Texts are escaped; what is no number stands left where `text`.
std::string html_table(const std::string& caption, const std::vector<std::vector<std::string>>& rows,
                       bool text = false);

// Bars of named values from 0 to the highest, as an SVG element with an alternative text.
std::string bar_figure(const std::string& title, const std::vector<std::string>& names,
                       const std::vector<double>& values);

// html(), or why it could not be made, which is also said on the terminal: a page without it is better than none.
template <class F>
std::string or_reason(const std::string& what, const F& html) {
  try {
    return html();
  } catch (const Error& error) {
    fmt::print("no {}: {}\n", what, error.what());
    return fmt::format("<p>No {}: {}</p>\n", escape_html(what), escape_html(error.what()));
  }
}

}  // namespace tessera
