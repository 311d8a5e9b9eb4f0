// Folders with all that lies below them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

// The files in a folder and below, sorted. Links to folders are followed, and no folder is read twice. One that cannot
// be read is an error that names it.
std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder);

std::string lower_extension(const std::filesystem::path& file);  // of a.JPG ".jpg"

}  // namespace tessera
