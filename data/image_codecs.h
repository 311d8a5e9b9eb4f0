// The two formats behind data/image.h, a file for each, on the libraries that PIL stands on: libjpeg-turbo and libpng.
#pragma once

#include <string>
#include <string_view>

#include "data/image.h"

namespace tessera {

struct ImageHeader {
  ImageSize stored;     // of the pixels in the file, before orientation
  int orientation = 1;  // see data/image_orientation.h
};

inline constexpr const char* kTruncatedImage = "the file ends before the end of the image";

// `bytes` begin as a file of the format does: with FF D8 FF, or PNG's eight bytes.
ImageHeader jpeg_header(std::string_view bytes, const std::string& name);
Tensor decode_jpeg(std::string_view bytes, const std::string& name, std::string* warning);  // u8 [H, W, 3], as stored

ImageHeader png_header(std::string_view bytes, const std::string& name);
Tensor decode_png(std::string_view bytes, const std::string& name);  // u8 [H, W, 3], as stored
// i32 [H, W]; colour is an error, and so are palettes, unless their indices are asked for.
Tensor decode_grey_png(std::string_view bytes, const std::string& name, bool palettes = false);
Tensor decode_colour_numbers_png(std::string_view bytes, const std::string& name);  // i32 [H, W]; others are an error

}  // namespace tessera
