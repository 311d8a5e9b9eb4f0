// Configurations by name: wherever one is taken, a file, "sparseinst/r50_giam" and "r50_giam" will do.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

// The names of all files under configs/ of the working directory, of what is installed with the library and of the
// source tree ("sparseinst/r50_giam").
std::vector<std::string> config_names();

// The file that `name` means: a file itself, or a configuration's name or the end of one ("r50_giam"). A name that is
// none, or that several end with, is an error that lists what there is.
std::filesystem::path find_config(const std::string& name);

}  // namespace tessera
