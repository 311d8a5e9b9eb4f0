// What the file around the pixels says: whether it is whole, and which way up the picture is.
//
// Decoders are lenient: a JPEG cut in the middle decodes to a picture with a grey lower half. So the container is
// walked before the pixels are decoded, and every read is checked against the end of the file.
#pragma once

#include <string_view>

namespace tessera {

enum class ImageFormat { kUnknown, kJpeg, kPng };

ImageFormat image_format(std::string_view bytes);  // by the first bytes

// Null when the container is whole, else what is wrong with it. JPEG: every segment lies in the file, the end marker is
// reached, and Huffman tables are possible and defined before they are used. PNG: every chunk lies in the file, its CRC
// is right, and the end chunk is reached.
const char* jpeg_damage(std::string_view bytes);
const char* png_damage(std::string_view bytes);

// The EXIF orientation (tag 0x0112 of the first directory) of a JPEG, 1 to 8. 1 (upright) when there is none or when
// the EXIF block is malformed: it is metadata, the picture is still good.
int exif_orientation(std::string_view jpeg);

}  // namespace tessera
