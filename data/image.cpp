#include "data/image.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <memory>

#include "data/image_container.h"
#include "data/stb.h"
#include "tensor/file.h"

namespace tessera {

namespace {

constexpr i64 kMaxPixels = i64{1} << 28;

const stbi_uc* as_bytes(std::string_view bytes) {
  return reinterpret_cast<const stbi_uc*>(bytes.data());
}

// Size as stored, before orientation; checks everything that can be told without decoding.
ImageSize stored_size(std::string_view bytes, const std::string& name) {
  TESSERA_CHECK(!bytes.empty(), "{}: is empty", name);
  TESSERA_CHECK(image_format(bytes) != ImageFormat::kUnknown, "{}: is neither a JPEG nor a PNG image", name);
  TESSERA_CHECK(bytes.size() <= INT_MAX, "{}: image files larger than 2 GiB are not read", name);
  // Before the decoder sees a byte: it trusts its input more than it should.
  const char* damage = image_format(bytes) == ImageFormat::kJpeg ? jpeg_damage(bytes) : png_damage(bytes);
  TESSERA_CHECK(!damage, "{}: cannot be decoded: {}", name, damage);
  int width = 0, height = 0, channels = 0;
  const int known = stbi_info_from_memory(as_bytes(bytes), static_cast<int>(bytes.size()), &width, &height, &channels);
  TESSERA_CHECK(
      known, "{}: cannot be decoded: the header is damaged, of an unsupported kind, or promises too many pixels", name);
  TESSERA_CHECK(i64{width} * height <= kMaxPixels, "{}: {} x {} pixels are more than the {} allowed", name, width,
                height, kMaxPixels);
  return {height, width};
}

// EXIF orientations 1 to 8, as the way from an upright pixel back to the stored one: swap row and column if transposed,
// then mirror.
struct Orientation {
  bool transposed, mirror_x, mirror_y;

  explicit Orientation(int exif)
      : transposed(exif >= 5),
        mirror_x(exif == 2 || exif == 3 || exif == 7 || exif == 8),
        mirror_y(exif == 3 || exif == 4 || exif == 6 || exif == 7) {}
  bool upright() const { return !transposed && !mirror_x && !mirror_y; }
  ImageSize apply(ImageSize stored) const { return transposed ? ImageSize{stored.width, stored.height} : stored; }
};

Tensor turn_upright(const Tensor& stored, const Orientation& orientation) {
  const i64 height = stored.dim(0), width = stored.dim(1);
  const ImageSize size = orientation.apply({height, width});
  Tensor upright = Tensor::empty({size.height, size.width, 3}, DType::kU8);
  const u8* source = stored.data<u8>();
  u8* target = upright.data<u8>();
  for (i64 y = 0; y < size.height; ++y) {
    for (i64 x = 0; x < size.width; ++x, target += 3) {
      const i64 row = orientation.transposed ? x : y, column = orientation.transposed ? y : x;
      const i64 source_row = orientation.mirror_y ? height - 1 - row : row;
      const i64 source_column = orientation.mirror_x ? width - 1 - column : column;
      std::memcpy(target, source + (source_row * width + source_column) * 3, 3);
    }
  }
  return upright;
}

Orientation orientation_of(std::string_view bytes) {
  return Orientation(image_format(bytes) == ImageFormat::kJpeg ? exif_orientation(bytes) : 1);
}

}  // namespace

Tensor decode_image(std::string_view bytes, const std::string& name) {
  stored_size(bytes, name);
  int width = 0, height = 0, channels = 0;
  stbi_uc* pixels =
      stbi_load_from_memory(as_bytes(bytes), static_cast<int>(bytes.size()), &width, &height, &channels, 3);
  TESSERA_CHECK(pixels, "{}: cannot be decoded: {}", name, stbi_failure_reason());
  const std::shared_ptr<const void> owner(pixels, stbi_image_free);
  const Tensor stored = Tensor::borrow(pixels, {height, width, 3}, DType::kU8, owner);
  const Orientation orientation = orientation_of(bytes);
  return orientation.upright() ? stored : turn_upright(stored, orientation);
}

Tensor load_image(const std::filesystem::path& path) {
  return decode_image(read_file(path), path.string());
}

Tensor load_grey(const std::filesystem::path& path) {
  const std::string bytes = read_file(path), name = path.string();
  stored_size(bytes, name);
  TESSERA_CHECK(image_format(bytes) == ImageFormat::kPng, "{}: a grey PNG is expected, this is a JPEG", name);
  const int length = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  const bool deep = stbi_is_16_bit_from_memory(as_bytes(bytes), length);
  void* pixels = nullptr;
  if (deep)
    pixels = stbi_load_16_from_memory(as_bytes(bytes), length, &width, &height, &channels, 0);
  else
    pixels = stbi_load_from_memory(as_bytes(bytes), length, &width, &height, &channels, 0);
  TESSERA_CHECK(pixels, "{}: cannot be decoded: {}", name, stbi_failure_reason());
  const std::unique_ptr<void, decltype(&stbi_image_free)> owner(pixels, stbi_image_free);
  TESSERA_CHECK(channels == 1, "{}: a grey PNG is expected, this one has {} channels", name, channels);
  Tensor grey = Tensor::empty({height, width}, DType::kI32);
  if (deep)
    std::copy_n(static_cast<const u16*>(pixels), grey.numel(), grey.data<i32>());
  else
    std::copy_n(static_cast<const u8*>(pixels), grey.numel(), grey.data<i32>());
  return grey;
}

ImageSize image_size(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string_view bytes(file->data(), file->size());
  return orientation_of(bytes).apply(stored_size(bytes, path.string()));
}

std::string encode_png(const Tensor& image) {
  const bool grey = image.rank() == 2;
  TESSERA_CHECK(image.dtype() == DType::kU8 && (grey || (image.rank() == 3 && image.dim(2) == 3)),
                "encode_png: expected u8 [H, W, 3] or [H, W], got {} {}", name_of(image.dtype()), image.shape());
  TESSERA_CHECK(image.numel() > 0 && image.numel() <= INT_MAX, "encode_png: {} cannot be a picture", image.shape());
  const int height = static_cast<int>(image.dim(0)), width = static_cast<int>(image.dim(1)), channels = grey ? 1 : 3;
  std::string bytes;
  const auto append = [](void* target, void* data, int size) {
    static_cast<std::string*>(target)->append(static_cast<const char*>(data), static_cast<size_t>(size));
  };
  const int written =
      stbi_write_png_to_func(append, &bytes, width, height, channels, image.data<u8>(), width * channels);
  TESSERA_CHECK(written, "encode_png: no memory for a picture of {}", image.shape());
  return bytes;
}

void save_png(const std::filesystem::path& path, const Tensor& image) {
  write_file(path, encode_png(image));
}

}  // namespace tessera
