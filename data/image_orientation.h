// Which way up a picture is, as the metadata in its file says.
#pragma once

#include <string_view>

#include "data/image.h"

namespace tessera {

// The orientation of the EXIF standard (tag 0x0112), 1 to 8: which side of the picture the stored row 0 and column 0
// show. `exif` is a TIFF structure, with or without "Exif\0\0" before it, `xmp` a packet of XMP; either may be empty.
// As in PIL, XMP counts where EXIF does not say, and every integer type counts but BYTE, which PIL takes for text. 1
// (upright) where neither says, or the block is malformed: it is metadata, the picture is still good.
int stored_orientation(std::string_view exif, std::string_view xmp);

// The size of a picture that is stored so, and the picture, u8 [H, W, 3], the right way up.
ImageSize upright_size(ImageSize stored, int orientation);
Tensor turn_upright(const Tensor& stored, int orientation);

}  // namespace tessera
