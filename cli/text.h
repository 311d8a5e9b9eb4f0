// Text that fits the terminal.
#pragma once

#include <string>

namespace tessera {

// Columns of the terminal that standard output is, else those that the environment variable COLUMNS says, else 100.
size_t terminal_width();

// Lines longer than `width` are broken at spaces; what follows a break is indented by so many. A word is never broken.
std::string wrapped(const std::string& line, size_t width, size_t indent);

}  // namespace tessera
