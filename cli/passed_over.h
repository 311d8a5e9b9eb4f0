// What is left out of a folder of pictures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

// "2 .tif, 1 folder": what lies in `folder` and is not `taken` (sorted), counted by extension; what is hidden, and
// folders, together. Empty when nothing is left out.
std::string passed_over(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& taken);

}  // namespace tessera
