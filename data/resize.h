// Resizing pictures and masks as PIL does it: what published models were trained and tested with.
#pragma once

#include "data/image.h"
#include "tensor/tensor.h"

namespace tessera {

// u8 [H, W, 3] or [H, W] to [height, width, ...], bilinear with antialiasing: a triangle filter over the source pixels
// whose support grows with the scale when the picture shrinks. Along the width first, then along the height; weights
// are rounded to 22 bits and each pass to u8, so the result equals PIL's Image.resize(BILINEAR) bit for bit.
Tensor resize_bilinear(const Tensor& image, ImageSize size);

// u8 masks [K, H, W] to [K, height, width]: the source pixel under each centre, as PIL's Image.resize(NEAREST).
Tensor resize_nearest(const Tensor& masks, ImageSize size);

}  // namespace tessera
