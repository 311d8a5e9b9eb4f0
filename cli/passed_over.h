// What is left out of a folder of pictures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

// "FOLDER: 3 files passed over, only JPEG and PNG are read: 2 .tif, 1 .txt", a line that counts the files of `folder`
// that are not `taken` (sorted) by their extension, hidden ones together. Empty when none is left out.
std::string passed_over(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& taken);

}  // namespace tessera
