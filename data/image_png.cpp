#include <isa-l/igzip_lib.h>
#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <span>
#include <vector>

#include "data/image_codecs.h"
#include "data/image_orientation.h"
#include "data/longjmp_guard.h"

namespace tessera {

namespace {

constexpr size_t kSignatureBytes = 8;

const u8* as_bytes(std::string_view bytes) {
  return reinterpret_cast<const u8*>(bytes.data());
}

[[noreturn]] void leave_png(png_structp png, png_const_charp message) {
  static_cast<LongjmpGuard*>(png_get_error_ptr(png))->leave(message);
}

// libpng's decoder before the pixels of one file. Every checksum counts; of the chunks that are not needed for the
// pixels nothing else is read.
class PngReader {
 public:
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  LongjmpGuard guard;

  PngReader(std::string_view bytes, const std::string& name) : PngReader(name) {
    TESSERA_CHECK(info, "{}: cannot be decoded: no memory", name);
    TESSERA_CHECK(!bytes.substr(kSignatureBytes).substr(0, 8).ends_with("CgBI"),
                  "{}: is a PNG in Apple's own variant (CgBI), which is not read; convert it to a plain one", name);
    rest_ = bytes;
    png_set_error_fn(png, &guard, leave_png, [](png_structp, png_const_charp) {});
    png_set_read_fn(png, &rest_, read);
    guard.run([&] {
      png_set_user_limits(png, INT_MAX, INT_MAX);                      // load_image has its own
      png_set_option(png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);  // some encoders name a window that is too small
      png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
      png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
      png_read_info(png, info);
    });
  }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }

  ImageSize size() const { return {png_get_image_height(png, info), png_get_image_width(png, info)}; }
  int colour() const { return png_get_color_type(png, info); }
  bool deep_grey() const { return colour() == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) == 16; }

  // u8 [H, W, bytes of a pixel], transformed as was asked for; of samples with 16 bits the high byte is first. Reads
  // the file to its end.
  Tensor pixels() {
    int passes = 0;
    guard.run([&] {
      passes = png_set_interlace_handling(png);
      png_read_update_info(png, info);
    });
    const i64 height = size().height, width = size().width;
    const i64 row_bytes = static_cast<i64>(png_get_rowbytes(png, info));
    Tensor pixels = Tensor::empty({height, width, row_bytes / width}, DType::kU8);
    u8* out = pixels.data<u8>();
    guard.run([&] {
      for (int pass = 0; pass < passes; ++pass)
        for (i64 y = 0; y < height; ++y) png_read_row(png, out + y * row_bytes, nullptr);
      png_read_end(png, nullptr);
    });
    return pixels;
  }

 private:
  // The public constructor delegates to this one, so that the destructor runs when the header is no good.
  explicit PngReader(const std::string& name) : guard(name) {}

  static void read(png_structp png, png_bytep target, size_t size) {
    std::string_view& rest = *static_cast<std::string_view*>(png_get_io_ptr(png));
    if (size > rest.size()) leave_png(png, kTruncatedImage);
    std::memcpy(target, rest.data(), size);
    rest.remove_prefix(size);
  }

  std::string_view rest_;
};

// ---- orientation: chunks that may stand before or behind the pixels. Malformed ones count as absent. ----

std::string inflated(std::string_view zlib_stream) {
  std::string text(size_t{1} << 20, '\0');  // PIL's limit for a text, too
  uLongf size = text.size();
  const uLong length = zlib_stream.size();
  if (uncompress(reinterpret_cast<u8*>(text.data()), &size, as_bytes(zlib_stream), length) != Z_OK) return {};
  text.resize(size);
  return text;
}

// Cuts `data` at its first `end`: returns what is before it, leaves what is behind.
std::string_view take_until(char end, std::string_view& data) {
  const size_t length = std::min(data.find(end), data.size());
  const std::string_view taken = data.substr(0, length);
  data.remove_prefix(std::min(length + 1, data.size()));
  return taken;
}

// The text of a tEXt, zTXt or iTXt chunk behind its keyword.
std::string text_of(std::string_view type, std::string_view data) {
  if (type == "tEXt") return std::string(data);
  if (type == "zTXt") return data.starts_with('\0') ? inflated(data.substr(1)) : std::string();
  if (data.size() < 2) return {};
  const bool compressed = data[0] != 0;
  data.remove_prefix(2);
  take_until('\0', data);  // the language
  take_until('\0', data);  // the keyword, translated
  return compressed ? inflated(data) : std::string(data);
}

// EXIF as ImageMagick writes it into a text: "\nexif\n", its length, then hexadecimal digits in lines.
std::string raw_profile(std::string_view text) {
  for (int line = 0; line < 3; ++line) take_until('\n', text);
  std::string bytes;
  int high = -1;  // the first digit of a byte, -1 before it
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) continue;
    if (high >= 0) bytes += static_cast<char>(high << 4 | digit);
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

int png_orientation(std::string_view bytes) {
  std::string exif, profile, xmp;
  bytes.remove_prefix(kSignatureBytes);
  while (bytes.size() >= 12) {  // a chunk: its length, its type, the data, a checksum
    const size_t length = png_get_uint_32(as_bytes(bytes));
    if (length > bytes.size() - 12) break;
    const std::string_view type = bytes.substr(4, 4);
    std::string_view data = bytes.substr(8, length);
    if (type == "eXIf") exif = data;
    if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
      const std::string_view keyword = take_until('\0', data);
      if (keyword == "XML:com.adobe.xmp") xmp = text_of(type, data);
      if (keyword == "Raw profile type exif") profile = raw_profile(text_of(type, data));
    }
    bytes.remove_prefix(length + 12);
  }
  return stored_orientation(exif.empty() ? profile : exif, xmp);
}

// ---- encoding ----

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
  file += big_endian(data.size()) + body + big_endian(crc32(0, as_bytes(body), static_cast<uInt>(body.size())));
}

}  // namespace

ImageHeader png_header(std::string_view bytes, const std::string& name) {
  return {PngReader(bytes, name).size(), png_orientation(bytes)};
}

Tensor decode_png(std::string_view bytes, const std::string& name) {
  PngReader reader(bytes, name);
  if (reader.deep_grey()) {
    // PIL does not scale these: it cuts them off at 255.
    const Tensor samples = reader.pixels();
    Tensor image = Tensor::empty({samples.dim(0), samples.dim(1), 3}, DType::kU8);
    const u8* sample = samples.data<u8>();
    u8* out = image.data<u8>();
    for (i64 i = 0; i < image.numel(); i += 3, sample += 2) std::memset(out + i, sample[0] ? 255 : sample[1], 3);
    return image;
  }
  reader.guard.run([&] {
    png_set_expand(reader.png);  // palettes, and grey of 1, 2 and 4 bits
    png_set_strip_16(reader.png);
    png_set_strip_alpha(reader.png);
    png_set_gray_to_rgb(reader.png);
  });
  return reader.pixels();
}

Tensor decode_grey_png(std::string_view bytes, const std::string& name) {
  PngReader reader(bytes, name);
  const int channels = png_get_channels(reader.png, reader.info);
  TESSERA_CHECK(reader.colour() == PNG_COLOR_TYPE_GRAY, "{}: a grey PNG is expected, this one has {}", name,
                reader.colour() == PNG_COLOR_TYPE_PALETTE ? "a palette" : fmt::format("{} channels", channels));
  const bool deep = reader.deep_grey();
  reader.guard.run([&] { png_set_expand_gray_1_2_4_to_8(reader.png); });
  const Tensor samples = reader.pixels();
  Tensor grey = Tensor::empty({samples.dim(0), samples.dim(1)}, DType::kI32);
  const u8* sample = samples.data<u8>();
  for (i32& value : grey.span<i32>()) {
    value = deep ? sample[0] << 8 | sample[1] : *sample;
    sample += deep ? 2 : 1;
  }
  return grey;
}

Tensor decode_colour_numbers_png(std::string_view bytes, const std::string& name) {
  PngReader reader(bytes, name);
  const int depth = png_get_bit_depth(reader.png, reader.info);
  TESSERA_CHECK((reader.colour() == PNG_COLOR_TYPE_RGB || reader.colour() == PNG_COLOR_TYPE_RGB_ALPHA) && depth == 8,
                "{}: an RGB PNG of 8 bits is expected, this one has {} of {} bits", name,
                reader.colour() == PNG_COLOR_TYPE_PALETTE       ? "a palette"
                : (reader.colour() & PNG_COLOR_MASK_COLOR) == 0 ? "grey"
                                                                : "colours",
                depth);
  reader.guard.run([&] { png_set_strip_alpha(reader.png); });
  const Tensor samples = reader.pixels();
  Tensor numbers = Tensor::empty({samples.dim(0), samples.dim(1)}, DType::kI32);
  const u8* sample = samples.data<u8>();
  for (i32& number : numbers.span<i32>()) {
    number = sample[0] | sample[1] << 8 | sample[2] << 16;
    sample += 3;
  }
  return numbers;
}

std::string encode_png(const Tensor& image) {
  const bool grey = image.rank() == 2, deep = image.dtype() == DType::kI32;
  TESSERA_CHECK((image.dtype() == DType::kU8 && (grey || (image.rank() == 3 && image.dim(2) == 3))) || (deep && grey),
                "encode_png: expected u8 [H, W, 3] or [H, W], or i32 [H, W], got {} {}", name_of(image.dtype()),
                image.shape());
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
  std::string bytes("\x89PNG\r\n\x1a\n", kSignatureBytes);
  const u8 bits = deep ? 16 : 8, colour = grey ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB;
  append_chunk(bytes, "IHDR",
               big_endian(width) + big_endian(height) +
                   std::string{static_cast<char>(bits), static_cast<char>(colour), 0, 0, 0});
  const std::string compressed = deflated(filtered);
  constexpr size_t kChunk = size_t{1} << 20;  // a reader may hold one whole
  for (size_t at = 0; at < compressed.size(); at += kChunk)
    append_chunk(bytes, "IDAT", std::string_view(compressed).substr(at, kChunk));
  append_chunk(bytes, "IEND", "");
  return bytes;
}

}  // namespace tessera
