// Every option of a configuration with its default, the values it may have and its meaning, as fields() declares them.
#pragma once

#include <string>

namespace tessera {

std::string options_text(size_t width);  // for a terminal
std::string options_markdown();          // docs/options.md

}  // namespace tessera
