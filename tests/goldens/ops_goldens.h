// Checks every case of a folder in the goldens/ops format, forward and gradients.
#pragma once

#include <filesystem>

#include "tests/goldens/report.h"

namespace tessera::goldens {

inline constexpr double kForwardTolerance = 1e-5;  // of the largest stored value, f32
inline constexpr double kGradientTolerance = 1e-4;

// Throws Error for an unreadable or malformed folder; a case that cannot run fails with the reason.
void check_ops_folder(const std::filesystem::path& folder, Report& report);

// PyTorch's dimension 1 moved to the end: [N, C, H, W] -> [N, H, W, C], [O, I, Kh, Kw] -> [O, Kh, Kw, I]. f32.
Tensor channels_last(const Tensor& theirs);

}  // namespace tessera::goldens
