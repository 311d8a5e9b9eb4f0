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

Tensor decode_grey_png(std::string_view bytes, const std::string& name, bool palettes) {
  PngReader reader(bytes, name);
  const int channels = png_get_channels(reader.png, reader.info);
  const bool indices = palettes && reader.colour() == PNG_COLOR_TYPE_PALETTE;
  TESSERA_CHECK(indices || reader.colour() == PNG_COLOR_TYPE_GRAY, "{}: a grey PNG is expected, this one has {}", name,
                reader.colour() == PNG_COLOR_TYPE_PALETTE ? "a palette" : fmt::format("{} channels", channels));
  const bool deep = reader.deep_grey();
  reader.guard.run([&] { indices ? png_set_packing(reader.png) : png_set_expand_gray_1_2_4_to_8(reader.png); });
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

}  // namespace tessera
