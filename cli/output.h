// Files that a command leaves behind.
#pragma once

#include <filesystem>
#include <string>

namespace tessera {

// write_file that makes the folder first.
void write_output(const std::filesystem::path& path, const std::string& text);

}  // namespace tessera
