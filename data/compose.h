// Several samples in one: mosaic and copy-paste. Samples without pictures are put together without.
#pragma once

#include <span>

#include "data/geometry.h"
#include "data/sample.h"

namespace tessera {

// The tight box of a mask [H, W] with at least one pixel.
Box mask_bounds(std::span<const u8> plane, ImageSize size);

// Four pictures around a point: top left, top right, bottom left, bottom right, of sizes that fit together. The objects
// are those of all, in this order; everything else is the first one's.
Sample mosaic_of(std::span<const Sample, 4> tiles);

// "Simple Copy-Paste" (Ghiasi et al., CVPR 2021), without its blending: the chosen objects of `from`, which is no
// larger, are drawn over `onto`, whose (0, 0) is from's (-top, -left), and become its last objects. The others lose the
// pixels that are covered; those that lose some get the box of what is left, those of fewer than least_pixels go.
// Returns how many went that had a pixel left.
i64 paste_objects(Sample& onto, const Sample& from, std::span<const i64> chosen, i64 top, i64 left, i64 least_pixels);

}  // namespace tessera
