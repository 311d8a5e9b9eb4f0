// Resizing pictures and masks as PIL does it: what published models were trained and tested with.
#pragma once

#include "data/image.h"
#include "tensor/tensor.h"

namespace tessera {

// u8 [H, W, 3] or [H, W] to [height, width, ...], bilinear with antialiasing: a triangle filter over the source pixels
// whose support grows with the scale when the picture shrinks. Along the width first, then along the height; weights
// are rounded to 22 bits and each pass to u8, so the result equals PIL's Image.resize(BILINEAR) bit for bit.
Tensor resize_bilinear(const Tensor& image, ImageSize size);

// Which source pixel a pixel of the result is.
enum class Nearest {
  kPil,      // the one under its centre, as PIL's Image.resize(NEAREST)
  kPyTorch,  // floor(position * in / out) with the quotient in f32, as interpolate(mode="nearest")
};

// u8 masks [K, H, W] to [K, height, width].
Tensor resize_nearest(const Tensor& masks, ImageSize size, Nearest rule = Nearest::kPil);

}  // namespace tessera
