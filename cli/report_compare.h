// The page of tessera report about several runs.
#pragma once

#include <filesystem>
#include <vector>

namespace tessera {

// Writes what differs between the runs: their curves over each other, figures, options, and what each finds in the same
// pictures of the validation set. score: the least of what is drawn at first.
void compare_runs(const std::vector<std::filesystem::path>& folders, const std::filesystem::path& out, double score);

}  // namespace tessera
