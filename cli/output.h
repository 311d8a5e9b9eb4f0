// Files that a command leaves behind.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

// To be called before anything is computed. Throws when an output is a folder, one of the inputs, or another output, by
// whatever name, link or hard link, or cannot be written. Empty paths stand for options that were not given.
void check_outputs(const std::vector<std::filesystem::path>& outputs, const std::vector<std::filesystem::path>& inputs);

// write_file that makes the folder first.
void write_output(const std::filesystem::path& path, const std::string& text);

}  // namespace tessera
