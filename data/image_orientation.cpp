#include "data/image_orientation.h"

#include <optional>

#include "tensor/dtype.h"

namespace tessera {

namespace {

constexpr std::string_view kExifPrefix("Exif\0\0", 6);
constexpr u64 kOrientationTag = 0x0112;

// Unsigned integer of `count` bytes at `at`, or nothing when they reach beyond the end.
std::optional<u64> number_at(std::string_view bytes, u64 at, u64 count, bool little) {
  if (at > bytes.size() || bytes.size() - at < count) return std::nullopt;
  u64 value = 0;
  for (u64 i = 0; i < count; ++i) value = value << 8 | static_cast<u8>(bytes[at + (little ? count - 1 - i : i)]);
  return value;
}

// Bytes of a value of a TIFF type that PIL reads as an integer, else 0.
u64 integer_bytes(u64 type) {
  constexpr u64 kShort = 3, kLong = 4, kSignedByte = 6, kSignedShort = 8, kSignedLong = 9, kDirectory = 13;
  switch (type) {
    case kSignedByte:
      return 1;
    case kShort:
    case kSignedShort:
      return 2;
    case kLong:
    case kSignedLong:
    case kDirectory:
      return 4;
    default:
      return 0;
  }
}

// The tag's value in the first directory; nothing when it is not there, 0 when it is no integer.
std::optional<u64> exif_orientation(std::string_view tiff) {
  for (int i = 0; i < 2 && tiff.starts_with(kExifPrefix); ++i) tiff.remove_prefix(kExifPrefix.size());
  const bool little = tiff.starts_with("II");
  if (!little && !tiff.starts_with("MM")) return std::nullopt;
  const std::optional<u64> magic = number_at(tiff, 2, 2, little), directory = number_at(tiff, 4, 4, little);
  if (magic != 42 || !directory) return std::nullopt;
  const std::optional<u64> entries = number_at(tiff, *directory, 2, little);
  for (u64 i = 0; i < entries.value_or(0); ++i) {
    // An entry: tag and type of 2 bytes, count of 4, and 4 bytes with the values, or their offset if they need more.
    const u64 entry = *directory + 2 + 12 * i;
    const std::optional<u64> tag = number_at(tiff, entry, 2, little), type = number_at(tiff, entry + 2, 2, little),
                             count = number_at(tiff, entry + 4, 4, little);
    if (!count) return std::nullopt;
    if (tag != kOrientationTag || count == 0) continue;
    const u64 bytes = integer_bytes(*type);
    if (bytes == 0) return 0;
    const std::optional<u64> at = bytes * *count > 4 ? number_at(tiff, entry + 8, 4, little) : entry + 8;
    return at ? number_at(tiff, *at, bytes, little) : std::nullopt;
  }
  return std::nullopt;
}

// The attribute tiff:Orientation="6", or the element <tiff:Orientation>6</tiff:Orientation>.
std::optional<u64> xmp_orientation(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at)) {
    at += kName.size();
    std::string_view rest = xmp.substr(at);
    if (!rest.starts_with("=\"") && !rest.starts_with('>')) continue;
    rest.remove_prefix(rest.starts_with('>') ? 1 : 2);
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return static_cast<u64>(rest[0] - '0');
  }
  return std::nullopt;
}

}  // namespace

int stored_orientation(std::string_view exif, std::string_view xmp) {
  std::optional<u64> orientation = exif_orientation(exif);
  if (!orientation) orientation = xmp_orientation(xmp);
  return orientation && *orientation >= 1 && *orientation <= 8 ? static_cast<int>(*orientation) : 1;
}

namespace {

// EXIF orientations 1 to 8, as the way from an upright pixel back to the stored one: swap row and column if transposed,
// then mirror.
struct Orientation {
  bool transposed, mirror_x, mirror_y;

  explicit Orientation(int exif)
      : transposed(exif >= 5),
        mirror_x(exif == 2 || exif == 3 || exif == 7 || exif == 8),
        mirror_y(exif == 3 || exif == 4 || exif == 6 || exif == 7) {}
  bool upright() const { return !transposed && !mirror_x && !mirror_y; }
};

}  // namespace

ImageSize upright_size(ImageSize stored, int orientation) {
  return Orientation(orientation).transposed ? ImageSize{stored.width, stored.height} : stored;
}

Tensor turn_upright(const Tensor& stored, int exif) {
  const Orientation orientation(exif);
  if (orientation.upright()) return stored;
  const i64 height = stored.dim(0), width = stored.dim(1);
  const ImageSize size = upright_size({height, width}, exif);
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

}  // namespace tessera
