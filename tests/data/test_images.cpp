#include "tests/data/test_images.h"

#include <stb_image_write.h>

namespace tessera::test {

namespace {

std::string big_endian(u32 value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

u32 crc32(const std::string& bytes) {  // bit by bit: the definition
  u32 crc = 0xFFFFFFFF;
  for (char byte : bytes) {
    crc ^= static_cast<u8>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xEDB88320 ^ crc >> 1 : crc >> 1;
  }
  return ~crc;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<u32>(data.size()), 4) + type + data + big_endian(crc32(type + data), 4);
}

// A zlib stream with one stored (uncompressed) block.
std::string stored_zlib(const std::string& data) {
  u32 a = 1, b = 0;  // Adler-32
  for (char byte : data) {
    a = (a + static_cast<u8>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  const u16 size = static_cast<u16>(data.size());
  std::string stream = {'\x78',
                        '\x01',
                        '\x01',
                        static_cast<char>(size & 255),
                        static_cast<char>(size >> 8),
                        static_cast<char>(~size & 255),
                        static_cast<char>(~size >> 8 & 255)};
  return stream + data + big_endian(b << 16 | a, 4);
}

std::string header_chunk(u32 height, u32 width, int colour, int depth) {
  return chunk("IHDR", big_endian(width, 4) + big_endian(height, 4) + static_cast<char>(depth) +
                           static_cast<char>(colour) + std::string(3, '\0'));
}

}  // namespace

std::string jpeg_bytes(const Tensor& image) {
  std::string bytes;
  const auto append = [](void* context, void* data, int size) {
    static_cast<std::string*>(context)->append(static_cast<char*>(data), static_cast<size_t>(size));
  };
  stbi_write_jpg_to_func(append, &bytes, static_cast<int>(image.dim(1)), static_cast<int>(image.dim(0)), 3,
                         image.data<u8>(), 95);
  return bytes;
}

std::string exif_block(int orientation, bool little_endian) {
  const auto number = [&](u32 value, int bytes) {
    const std::string text = big_endian(value, bytes);
    return little_endian ? std::string(text.rbegin(), text.rend()) : text;
  };
  return std::string("Exif\0\0", 6) + (little_endian ? "II" : "MM") + number(42, 2) + number(8, 4) + number(1, 2) +
         number(0x0112, 2) + number(3, 2) + number(1, 4) + number(static_cast<u32>(orientation), 2) + number(0, 2) +
         number(0, 4);
}

std::string with_exif(const std::string& jpeg, const std::string& block) {
  return jpeg.substr(0, 2) + "\xFF\xE1" + big_endian(static_cast<u32>(block.size() + 2), 2) + block + jpeg.substr(2);
}

std::string png_bytes(i64 height, i64 width, int colour, int depth, const std::vector<u8>& samples) {
  const size_t row = samples.size() / static_cast<size_t>(height);
  std::string filtered;
  for (i64 y = 0; y < height; ++y) {
    filtered += '\0';  // filter type "none"
    filtered.append(samples.begin() + y * row, samples.begin() + (y + 1) * row);
  }
  return "\x89PNG\r\n\x1a\n" + header_chunk(static_cast<u32>(height), static_cast<u32>(width), colour, depth) +
         chunk("IDAT", stored_zlib(filtered)) + chunk("IEND", "");
}

void set_png_size(std::string& png, u32 height, u32 width) {
  const std::string header = header_chunk(height, width, png[25], png[24]);
  png.replace(8, header.size(), header);
}

}  // namespace tessera::test
