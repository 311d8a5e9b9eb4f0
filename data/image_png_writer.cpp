#include <isa-l/igzip_lib.h>
#include <png.h>
#include <zlib.h>

#include <climits>
#include <span>
#include <vector>

#include "data/image.h"

namespace tessera {

namespace {

// A zlib stream of ISA-L's fastest search for repetitions: a quarter of the time of zlib's own fastest way, runs of
// equal bytes alone, for the same size.
std::string deflated(std::span<u8> bytes) {
  std::string compressed(bytes.size() + bytes.size() / 16 + 4096, '\0');  // never needed whole
  std::vector<u8> buffer(ISAL_DEF_LVL1_DEFAULT);
  isal_zstream stream;
  isal_deflate_init(&stream);
  stream.level = 1;
  stream.level_buf = buffer.data();
  stream.level_buf_size = static_cast<u32>(buffer.size());
  stream.gzip_flag = IGZIP_ZLIB;
  stream.end_of_stream = 1;
  stream.next_in = bytes.data();
  stream.avail_in = static_cast<u32>(bytes.size());
  stream.next_out = reinterpret_cast<u8*>(compressed.data());
  stream.avail_out = static_cast<u32>(compressed.size());
  const int code = isal_deflate(&stream);
  TESSERA_CHECK(code == COMP_OK && stream.internal_state.state == ZSTATE_END,
                "encode_png: {} bytes cannot be compressed (ISA-L's code {})", bytes.size(), code);
  compressed.resize(stream.total_out);
  return compressed;
}

std::string big_endian(size_t value) {
  std::string bytes(4, '\0');
  png_save_uint_32(reinterpret_cast<u8*>(bytes.data()), static_cast<png_uint_32>(value));
  return bytes;
}

void append_chunk(std::string& file, const char* type, std::string_view data) {
  const std::string body = type + std::string(data);
  file += big_endian(data.size()) + body +
          big_endian(crc32(0, reinterpret_cast<const u8*>(body.data()), static_cast<uInt>(body.size())));
}

}  // namespace

std::string encode_png(const Tensor& image, const Palette& palette) {
  const bool grey = image.rank() == 2, deep = image.dtype() == DType::kI32;
  TESSERA_CHECK((image.dtype() == DType::kU8 && (grey || (image.rank() == 3 && image.dim(2) == 3))) || (deep && grey),
                "encode_png: expected u8 [H, W, 3] or [H, W], or i32 [H, W], got {} {}", name_of(image.dtype()),
                image.shape());
  TESSERA_CHECK(palette.empty() || (grey && !deep && palette.size() <= 256),
                "encode_png: a palette of {} colours for {} {}", palette.size(), name_of(image.dtype()), image.shape());
  TESSERA_CHECK(image.numel() > 0 && image.numel() <= INT_MAX, "encode_png: {} cannot be a picture", image.shape());
  std::vector<u8> samples;  // of 16 bits, the high byte first
  if (deep) {
    for (const i32 value : image.span<i32>()) {
      TESSERA_CHECK(value >= 0 && value <= 0xFFFF, "encode_png: {} does not fit into 16 bits", value);
      samples.push_back(static_cast<u8>(value >> 8));
      samples.push_back(static_cast<u8>(value & 0xFF));
    }
  }
  const size_t height = static_cast<size_t>(image.dim(0)), width = static_cast<size_t>(image.dim(1));
  const size_t row_bytes = width * (deep ? 2 : grey ? 1 : 3);
  const u8* rows = deep ? samples.data() : image.data<u8>();
  std::vector<u8> filtered((row_bytes + 1) * height);  // each row behind the number of its filter
  u8* out = filtered.data();
  for (size_t y = 0; y < height; ++y, rows += row_bytes) {
    constexpr u8 kNone = 0, kUp = 2;  // its difference from the row above
    *out++ = y ? kUp : kNone;
    for (size_t i = 0; i < row_bytes; ++i) *out++ = static_cast<u8>(y ? rows[i] - rows[i - row_bytes] : rows[i]);
  }
  std::string bytes("\x89PNG\r\n\x1a\n", 8);
  const u8 bits = deep ? 16 : 8, colour = !palette.empty() ? PNG_COLOR_TYPE_PALETTE
                                          : grey           ? PNG_COLOR_TYPE_GRAY
                                                           : PNG_COLOR_TYPE_RGB;
  append_chunk(bytes, "IHDR",
               big_endian(width) + big_endian(height) +
                   std::string{static_cast<char>(bits), static_cast<char>(colour), 0, 0, 0});
  if (!palette.empty()) {
    std::string colours;
    for (const auto& rgb : palette) colours.append(rgb.begin(), rgb.end());
    append_chunk(bytes, "PLTE", colours);
  }
  const std::string compressed = deflated(filtered);
  constexpr size_t kChunk = size_t{1} << 20;  // a reader may hold one whole
  for (size_t at = 0; at < compressed.size(); at += kChunk)
    append_chunk(bytes, "IDAT", std::string_view(compressed).substr(at, kChunk));
  append_chunk(bytes, "IEND", "");
  return bytes;
}

}  // namespace tessera
