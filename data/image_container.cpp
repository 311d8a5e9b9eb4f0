#include "data/image_container.h"

#include <array>
#include <cstdint>
#include <optional>

namespace tessera {

namespace {

using Byte = unsigned char;

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);
constexpr Byte kFrame = 0xC0, kProgressiveFrame = 0xC2, kHuffmanTables = 0xC4;
constexpr Byte kStartOfScan = 0xDA, kEndOfImage = 0xD9, kApp1 = 0xE1, kTemporary = 0x01;

Byte byte_at(std::string_view bytes, size_t at) {
  return static_cast<Byte>(bytes[at]);
}

// Unsigned integer of `count` bytes at `at`, or nothing when they reach beyond the end.
std::optional<uint32_t> number_at(std::string_view bytes, size_t at, size_t count, bool little = false) {
  if (at > bytes.size() || bytes.size() - at < count) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | byte_at(bytes, at + (little ? count - 1 - i : i));
  return value;
}

bool is_restart(Byte marker) {
  return marker >= 0xD0 && marker <= 0xD7;
}

// Calls visit(marker, payload) for every segment that has a payload until visit returns false. Returns what stopped the
// walk early, null when visit did or the end marker was reached.
template <class Visit>
const char* walk_jpeg(std::string_view bytes, Visit&& visit) {
  size_t at = 2;  // behind the start marker
  while (true) {
    // Between segments, and in the compressed data behind a scan header, everything up to the next marker is skipped.
    // FF 00 is a data byte FF; FF FF is padding.
    at = bytes.find('\xFF', at);
    if (at == std::string_view::npos || at + 1 >= bytes.size()) return "the file ends before the end of the image";
    const Byte marker = byte_at(bytes, at + 1);
    if (marker == 0xFF) {
      ++at;
      continue;
    }
    at += 2;
    if (marker == 0x00 || marker == kTemporary || is_restart(marker)) continue;
    if (marker == kEndOfImage) return nullptr;
    const std::optional<uint32_t> length = number_at(bytes, at, 2);
    if (!length) return "the file ends before the end of the image";
    if (*length < 2) return "a segment has an impossible length";
    if (*length > bytes.size() - at) return "the file ends inside a segment";
    if (!visit(marker, bytes.substr(at + 2, *length - 2))) return nullptr;
    at += *length;
  }
}

// What the decoder takes on trust: it would write beyond its tables for a Huffman table of more than 256 codes, and
// read uninitialised ones for a scan that names a table the file never defines.
class JpegTables {
 public:
  const char* see(Byte marker, std::string_view payload) {
    if (marker >= kFrame && marker <= kProgressiveFrame) {
      frame_ = true;
      progressive_ = marker == kProgressiveFrame;
    }
    if (marker == kHuffmanTables) return define(payload);
    if (marker == kStartOfScan) return scan(payload);
    return nullptr;
  }
  bool has_image() const { return frame_ && scan_; }

 private:
  // Tables follow one another: a byte class << 4 | number, 16 counts of codes by length, the symbols.
  const char* define(std::string_view payload) {
    while (!payload.empty()) {
      constexpr size_t kCounts = 16;
      if (payload.size() < 1 + kCounts) return "a Huffman table is cut off";
      const Byte id = byte_at(payload, 0);
      size_t codes = 0;
      for (size_t length = 1; length <= kCounts; ++length) codes += byte_at(payload, length);
      if (id >> 4 > 1 || (id & 15) > 3 || codes > 256) return "a Huffman table is impossible";
      if (payload.size() < 1 + kCounts + codes) return "a Huffman table is cut off";
      defined_[id >> 4][id & 15] = true;
      payload.remove_prefix(1 + kCounts + codes);
    }
    return nullptr;
  }

  // A count of components; for each an id and a byte DC table << 4 | AC table; first and last coefficient, bit
  // positions.
  const char* scan(std::string_view payload) {
    scan_ = true;
    const size_t components = payload.empty() ? 0 : byte_at(payload, 0);
    if (payload.size() != 4 + 2 * components) return "a scan header has a wrong length";
    const Byte first = byte_at(payload, 1 + 2 * components), bits = byte_at(payload, 3 + 2 * components);
    const bool refines = bits >> 4 != 0;
    for (size_t c = 0; c < components; ++c) {
      const Byte tables = byte_at(payload, 2 + 2 * c), dc = tables >> 4, ac = tables & 15;
      const bool needs_dc = progressive_ ? first == 0 && !refines : true, needs_ac = progressive_ ? first > 0 : true;
      if ((needs_dc && (dc > 3 || !defined_[0][dc])) || (needs_ac && (ac > 3 || !defined_[1][ac]))) {
        return "a scan uses a Huffman table that is not there";
      }
    }
    return nullptr;
  }

  bool frame_ = false, scan_ = false, progressive_ = false;
  bool defined_[2][4] = {};  // [DC, AC][number]
};

// The CRC of PNG (ISO 3309), eight bytes at a time: table k advances a byte over k more zero bytes.
constexpr auto kCrcTables = [] {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t c = n;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    tables[0][n] = c;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t n = 0; n < 256; ++n) tables[k][n] = tables[k - 1][n] >> 8 ^ tables[0][tables[k - 1][n] & 255];
  }
  return tables;
}();

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint32_t next = 0;
    for (size_t i = 0; i < 8; ++i) {
      const uint32_t value = byte_at(bytes, at + i) ^ (i < 4 ? crc >> (8 * i) & 255 : 0);
      next ^= kCrcTables[7 - i][value];
    }
    crc = next;
  }
  for (; at < bytes.size(); ++at) crc = crc >> 8 ^ kCrcTables[0][(crc ^ byte_at(bytes, at)) & 255];
  return ~crc;
}

// Orientation from the TIFF structure inside an EXIF segment; nothing when it is malformed or does not say.
std::optional<uint32_t> tiff_orientation(std::string_view tiff) {
  const bool little = tiff.starts_with("II");
  if (!little && !tiff.starts_with("MM")) return std::nullopt;
  const std::optional<uint32_t> magic = number_at(tiff, 2, 2, little), directory = number_at(tiff, 4, 4, little);
  if (magic != 42u || !directory) return std::nullopt;
  const std::optional<uint32_t> entries = number_at(tiff, *directory, 2, little);
  if (!entries) return std::nullopt;
  for (size_t i = 0; i < *entries; ++i) {
    const size_t entry = size_t{*directory} + 2 + 12 * i;  // tag u16, type u16, count u32, value in 4 bytes
    const std::optional<uint32_t> tag = number_at(tiff, entry, 2, little);
    if (!tag) return std::nullopt;
    if (*tag == 0x0112) return number_at(tiff, entry + 8, 2, little);
  }
  return std::nullopt;
}

}  // namespace

ImageFormat image_format(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xD8\xFF")) return ImageFormat::kJpeg;
  if (bytes.starts_with(kPngSignature)) return ImageFormat::kPng;
  return ImageFormat::kUnknown;
}

const char* jpeg_damage(std::string_view bytes) {
  JpegTables tables;
  const char* wrong = nullptr;
  const char* stopped = walk_jpeg(bytes, [&](Byte marker, std::string_view payload) {
    wrong = tables.see(marker, payload);
    return wrong == nullptr;
  });
  if (wrong || stopped) return wrong ? wrong : stopped;
  return tables.has_image() ? nullptr : "there is no image in the file";
}

const char* png_damage(std::string_view bytes) {
  size_t at = kPngSignature.size();
  while (true) {
    const std::optional<uint32_t> length = number_at(bytes, at, 4);
    if (!length || bytes.size() - at < 12 || *length > bytes.size() - at - 12) {
      return "the file ends before the end of the image";
    }
    const std::string_view type_and_data = bytes.substr(at + 4, size_t{*length} + 4);
    if (crc32(type_and_data) != number_at(bytes, at + 8 + *length, 4)) return "a chunk's checksum is wrong";
    if (type_and_data.starts_with("IEND")) return nullptr;
    at += size_t{*length} + 12;
  }
}

int exif_orientation(std::string_view jpeg) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  std::optional<uint32_t> orientation;
  walk_jpeg(jpeg, [&](Byte marker, std::string_view payload) {
    if (marker == kApp1 && payload.starts_with(kExif)) {
      orientation = tiff_orientation(payload.substr(kExif.size()));
      return false;
    }
    return marker != kStartOfScan;  // metadata stands before the first scan
  });
  return orientation && *orientation >= 1 && *orientation <= 8 ? static_cast<int>(*orientation) : 1;
}

}  // namespace tessera
