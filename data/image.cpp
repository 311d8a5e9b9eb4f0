#include "data/image.h"

#include <cstring>
#include <memory>

#include "data/image_codecs.h"
#include "data/image_orientation.h"
#include "tensor/file.h"

namespace tessera {

namespace {

constexpr i64 kMaxPixels = i64{1} << 28;

// What a file is that is no JPEG and no PNG, by its first bytes; null when they tell nothing.
const char* other_format(std::string_view bytes) {
  struct Signature {
    size_t at;
    std::string_view bytes;
    const char* format;
  };
  constexpr Signature kOthers[] = {{0, "BM", "BMP"},          {0, "GIF8", "GIF"},      {0, {"II*\0", 4}, "TIFF"},
                                   {0, {"MM\0*", 4}, "TIFF"}, {8, "WEBP", "WebP"},     {4, "ftypheic", "HEIC"},
                                   {4, "ftypavif", "AVIF"},   {4, "jP  ", "JPEG 2000"}};
  for (const auto& [at, signature, format] : kOthers)
    if (bytes.size() > at && bytes.substr(at).starts_with(signature)) return format;
  return nullptr;
}

bool is_jpeg(std::string_view bytes, const std::string& name) {
  constexpr std::string_view kJpeg = "\xFF\xD8\xFF", kPng("\x89PNG\r\n\x1a\n", 8);
  TESSERA_CHECK(!bytes.empty(), "{}: is empty", name);
  if (bytes.starts_with(kJpeg)) return true;
  if (bytes.starts_with(kPng)) return false;
  if (const char* format = other_format(bytes))
    fail("{}: is a {} file, neither a JPEG nor a PNG image: convert it to one of them", name, format);
  fail("{}: is neither a JPEG nor a PNG image", name);
}

ImageHeader read_header(std::string_view bytes, const std::string& name) {
  const ImageHeader header = is_jpeg(bytes, name) ? jpeg_header(bytes, name) : png_header(bytes, name);
  const auto [height, width] = header.stored;
  TESSERA_CHECK(height <= kMaxPixels / width, "{}: {} x {} pixels are more than the {} allowed", name, width, height,
                kMaxPixels);
  return header;
}

}  // namespace

Tensor decode_image(std::string_view bytes, const std::string& name, std::string* warning) {
  const int orientation = read_header(bytes, name).orientation;
  return turn_upright(is_jpeg(bytes, name) ? decode_jpeg(bytes, name, warning) : decode_png(bytes, name), orientation);
}

Tensor load_image(const std::filesystem::path& path) {
  return decode_image(read_file(path), path.string());
}

namespace {

// A PNG whose pixels are no picture but numbers, and stay as they are stored; `expected` says which.
template <class Decode>
Tensor load_numbers(const std::filesystem::path& path, const char* expected, Decode&& decode) {
  const std::string bytes = read_file(path), name = path.string();
  TESSERA_CHECK(!is_jpeg(bytes, name), "{}: {} is expected, this is a JPEG", name, expected);
  read_header(bytes, name);
  return decode(bytes, name);
}

}  // namespace

Tensor load_grey(const std::filesystem::path& path) {
  return load_numbers(path, "a grey PNG", [](auto bytes, const auto& name) { return decode_grey_png(bytes, name); });
}

Tensor load_indices(const std::filesystem::path& path) {
  return load_numbers(path, "a grey PNG, or one with a palette,",
                      [](auto bytes, const auto& name) { return decode_grey_png(bytes, name, true); });
}

Tensor load_colour_numbers(const std::filesystem::path& path) {
  return load_numbers(path, "a colour PNG", decode_colour_numbers_png);
}

ImageSize image_size(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const ImageHeader header = read_header({file->data(), file->size()}, path.string());
  return upright_size(header.stored, header.orientation);
}

void save_png(const std::filesystem::path& path, const Tensor& image) {
  write_file(path, encode_png(image));
}

}  // namespace tessera
