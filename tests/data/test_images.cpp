#include "tests/data/test_images.h"

#include <cstdlib>
// clang-format off
#include <cstdio>  // jpeglib.h needs it
#include <jpeglib.h>
// clang-format on

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
  return png_chunk("IHDR", big_endian(width, 4) + big_endian(height, 4) + static_cast<char>(depth) +
                               static_cast<char>(colour) + std::string(3, '\0'));
}

}  // namespace

std::string png_chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<u32>(data.size()), 4) + type + data + big_endian(crc32(type + data), 4);
}

std::string jpeg_bytes(const Tensor& image, const JpegOptions& options) {
  const i64 row_bytes = image.dim(1) * image.dim(2);
  jpeg_compress_struct encoder;
  jpeg_error_mgr errors;
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &buffer, &size);
  encoder.image_height = static_cast<JDIMENSION>(image.dim(0));
  encoder.image_width = static_cast<JDIMENSION>(image.dim(1));
  encoder.input_components = static_cast<int>(image.dim(2));
  encoder.in_color_space = image.dim(2) == 1 ? JCS_GRAYSCALE : image.dim(2) == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&encoder);
  if (options.ycck) jpeg_set_colorspace(&encoder, JCS_YCCK);
  if (options.progressive) jpeg_simple_progression(&encoder);
  encoder.comp_info[0].h_samp_factor = encoder.comp_info[0].v_samp_factor = 1;
  encoder.arith_code = options.arithmetic;
  encoder.restart_interval = static_cast<unsigned>(options.restart_interval);
  jpeg_set_quality(&encoder, 95, TRUE);
  jpeg_start_compress(&encoder, TRUE);
  for (JSAMPROW row = const_cast<u8*>(image.data<u8>()); encoder.next_scanline < encoder.image_height; row += row_bytes)
    jpeg_write_scanlines(&encoder, &row, 1);
  jpeg_finish_compress(&encoder);
  jpeg_destroy_compress(&encoder);
  std::string bytes(reinterpret_cast<char*>(buffer), size);
  std::free(buffer);
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
         png_chunk("IDAT", stored_zlib(filtered)) + png_chunk("IEND", "");
}

void set_png_size(std::string& png, u32 height, u32 width) {
  const std::string header = header_chunk(height, width, png[25], png[24]);
  png.replace(8, header.size(), header);
}

}  // namespace tessera::test
