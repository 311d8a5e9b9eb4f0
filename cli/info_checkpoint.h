// What `tessera info --checkpoint` tells.
#pragma once

#include <filesystem>

namespace tessera {

// What a checkpoint is (of a run's folder the best, or else the latest), what it holds and how good it is.
void print_checkpoint(const std::filesystem::path& file_or_folder);

}  // namespace tessera
