#include "cli/text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace tessera {

size_t terminal_width() {
  winsize window{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) return window.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int width = columns ? std::atoi(columns) : 0;
  return width > 0 ? static_cast<size_t>(width) : 100;
}

std::string wrapped(const std::string& line, size_t width, size_t indent) {
  std::string text, rest = line;
  while (rest.size() > width) {
    size_t space = rest.rfind(' ', width);
    // Only the indentation fits: the first word takes more than a line.
    if (space == std::string::npos || rest.find_first_not_of(' ') > space) space = rest.find(' ', width);
    if (space == std::string::npos) break;
    text += rest.substr(0, rest.find_last_not_of(' ', space) + 1) + "\n";
    rest = std::string(indent, ' ') + rest.substr(std::min(rest.find_first_not_of(' ', space), rest.size()));
  }
  return text + rest;
}

}  // namespace tessera
