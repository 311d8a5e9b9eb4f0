// Made-up pictures, for measuring: noise with square objects in random places. They depend on the arguments alone.
#pragma once

#include "data/sample.h"

namespace tessera {

// `images` samples of `size` with `objects` squares each, a third as wide as the shorter side; original = size.
std::vector<Sample> noise_samples(i64 images, ImageSize size, i64 objects, i64 classes);

}  // namespace tessera
