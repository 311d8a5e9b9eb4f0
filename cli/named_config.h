// Configurations by name, and sizes, as command lines give them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/image.h"

namespace tessera {

// The names of all files under configs/ of the working directory and of the source tree ("sparseinst/r50_giam").
std::vector<std::string> config_names();

// The file that `name` means: a file itself, or a configuration's name or the end of one ("r50_giam"). A name that is
// none, or that several end with, is an error that lists what there is.
std::filesystem::path find_config(const std::string& name);

// "480x640": height and width; "640": both.
ImageSize parse_size(const std::string& text);

}  // namespace tessera
