// The writers behind generate_shapes.
#pragma once

#include <string>

#include "data/shapes.h"

namespace tessera {

// Writes a picture, unless it is there already. One that changes takes away the annotations of what was there before,
// so that a call which is stopped never leaves pictures under the annotations of others.
void replace_picture(const std::filesystem::path& path, const std::string& png,
                     const std::vector<std::filesystem::path>& annotations);

// generate_shapes in the layout of Cityscapes.
void generate_cityscapes_shapes(const ShapesConfig& config, const Counted& counted);

}  // namespace tessera
