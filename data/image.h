// Pictures on disk: JPEG and PNG, in and out. An image is a u8 tensor [H, W, 3], RGB.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace tessera {

struct ImageSize {
  i64 height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};

// The image of a JPEG or PNG file as u8 [H, W, 3], as PIL decodes it: exif_transpose(Image.open(path)).convert("RGB").
// It is upright, as EXIF or XMP says; palettes and inks (CMYK) become colours; alpha is dropped, not blended; of 16-bit
// colours the high byte is kept, but 16-bit grey is cut off at 255. JPEGs may differ by two levels. A file that is
// missing, cut off, damaged, of another kind or larger than 2^28 pixels is an error that names it; only damage within
// the compressed data of a JPEG is none, and costs a part of the picture, as in PIL: it is libjpeg's `warning`, which
// is empty without.
Tensor load_image(const std::filesystem::path& path);
Tensor decode_image(std::string_view bytes, const std::string& name,
                    std::string* warning = nullptr);  // `name` is for messages

// The values of a grey PNG of 8 or 16 bits, as they are stored: i32 [H, W]. Colour and alpha are errors.
Tensor load_grey(const std::filesystem::path& path);

// The same, and of a PNG with a palette the indices into it.
Tensor load_indices(const std::filesystem::path& path);

// The number that each pixel of a colour PNG of 8 bits stands for, R + 256 G + 65536 B, as COCO's panoptic files have
// it: i32 [H, W]. Alpha is dropped; grey, palettes and 16 bits are errors.
Tensor load_colour_numbers(const std::filesystem::path& path);

// Height and width as load_image would return them, read from the header alone (of a PNG also from the metadata behind
// the pixels, which are skipped): a file that is damaged farther on still has a size.
ImageSize image_size(const std::filesystem::path& path);

// u8 [H, W, 3] or [H, W] as a PNG file, or i32 [H, W] of 0 to 65535 as one of 16 bits (load_grey reads it back).
// save_png replaces `path` only when the whole file is written.
// With a palette, of up to 256 colours, values are indices into it: u8 [H, W].
using Palette = std::vector<std::array<u8, 3>>;
std::string encode_png(const Tensor& image, const Palette& palette = {});
void save_png(const std::filesystem::path& path, const Tensor& image);

// u8 [H, W, 3] as a JPEG file, which is smaller than a PNG and not the same: for pages. quality: 1 to 100, libjpeg's
// scale.
std::string encode_jpeg(const Tensor& image, int quality = 85);

}  // namespace tessera
