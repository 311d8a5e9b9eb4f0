// Pictures on disk: JPEG and PNG in, PNG out. An image is a u8 tensor [H, W, 3], RGB.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace tessera {

struct ImageSize {
  i64 height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};

// The image of a JPEG or PNG file as u8 [H, W, 3]. Grey is repeated over the three channels, alpha is dropped, of
// 16-bit samples the high byte is kept, and a JPEG is turned upright as its EXIF orientation says (PIL's exif_transpose
// and convert("RGB")). A file that is missing, truncated, corrupt or larger than 2^28 pixels is an error that names it.
Tensor load_image(const std::filesystem::path& path);
Tensor decode_image(std::string_view bytes, const std::string& name);  // `name` is for messages

// The values of a grey PNG of 8 or 16 bits, as they are stored: i32 [H, W]. Colour and alpha are errors.
Tensor load_grey(const std::filesystem::path& path);

// Height and width as load_image would return them, read from the header alone.
ImageSize image_size(const std::filesystem::path& path);

// u8 [H, W, 3] or [H, W] as a PNG file. save_png replaces `path` only when the whole file is written.
std::string encode_png(const Tensor& image);
void save_png(const std::filesystem::path& path, const Tensor& image);

}  // namespace tessera
