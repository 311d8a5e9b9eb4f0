// Images as command lines name them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

// Files as they are; of folders the JPEG and PNG files, by name. At most `limit` of them, 0: all.
std::vector<std::filesystem::path> image_files(const std::vector<std::string>& arguments, i64 limit);

}  // namespace tessera
