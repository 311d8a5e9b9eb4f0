#include <algorithm>
#include <cstdlib>
#include <vector>
// clang-format off
#include <cstdio>  // jpeglib.h needs it
#include <jpeglib.h>
// clang-format on

#include "data/image_codecs.h"
#include "data/image_orientation.h"
#include "data/longjmp_guard.h"

namespace tessera {

namespace {

// Each scan is a pass over the whole picture, and a short file can have many. Encoders write about ten.
constexpr int kMaxScans = 500;

// libjpeg's decoder behind the header of one file.
class JpegReader {
 public:
  jpeg_decompress_struct info{};
  LongjmpGuard guard;

  JpegReader(std::string_view bytes, const std::string& name) : JpegReader(name) {
    guard.run([&] {
      jpeg_create_decompress(&info);
      jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
      info.src->fill_input_buffer = read_beyond_end;
      info.progress = &progress_;
      jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
      jpeg_read_header(&info, TRUE);
    });
    const int components = info.num_components;
    TESSERA_CHECK(components == 1 || components == 3 || components == 4,
                  "{}: cannot be decoded: {} components; 1 (grey), 3 (colour) and 4 (CMYK) are read", name, components);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&info); }

  ImageSize size() const { return {info.image_height, info.image_width}; }
  const char* warning() const { return errors_.warning; }  // the first; empty: none

 private:
  struct Errors : jpeg_error_mgr {
    char warning[JMSG_LENGTH_MAX] = "";
  };

  // The public constructor delegates to this one, so that the destructor runs when the header is no good.
  explicit JpegReader(const std::string& name) : guard(name) {
    info.err = jpeg_std_error(&errors_);
    info.client_data = &guard;
    errors_.error_exit = [](j_common_ptr decoder) {
      char message[JMSG_LENGTH_MAX];
      decoder->err->format_message(decoder, message);
      guard_of(decoder).leave(message);
    };
    // Of the first warning alone: bytes that do not belong there, damage that costs a part of the picture. As PIL does,
    // we go on.
    errors_.output_message = [](j_common_ptr decoder) {
      decoder->err->format_message(decoder, static_cast<Errors*>(decoder->err)->warning);
    };
    progress_.progress_monitor = [](j_common_ptr decoder) {
      if (reinterpret_cast<j_decompress_ptr>(decoder)->input_scan_number > kMaxScans)
        guard_of(decoder).leave("it has too many scans");
    };
  }

  // Without an end marker a file is cut off, unless every row was there and only what follows them is missing.
  static boolean read_beyond_end(j_decompress_ptr decoder) {
    static constexpr JOCTET kEnd[] = {0xFF, JPEG_EOI};
    if (decoder->output_scanline == 0 || decoder->output_scanline < decoder->output_height)
      guard_of(decoder).leave(kTruncatedImage);
    decoder->src->next_input_byte = kEnd;
    decoder->src->bytes_in_buffer = sizeof kEnd;
    return TRUE;
  }

  template <class Decoder>
  static LongjmpGuard& guard_of(Decoder* decoder) {
    return *static_cast<LongjmpGuard*>(decoder->client_data);
  }

  Errors errors_{};
  jpeg_progress_mgr progress_{};
};

// libjpeg's encoder and the bytes that it wrote so far.
struct JpegWriter {
  jpeg_compress_struct info{};
  LongjmpGuard guard;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;

  explicit JpegWriter(const std::string& name) : guard(name, "encoded") {
    info.err = jpeg_std_error(&errors_);
    info.client_data = &guard;
    errors_.error_exit = [](j_common_ptr encoder) {
      char message[JMSG_LENGTH_MAX];
      encoder->err->format_message(encoder, message);
      static_cast<LongjmpGuard*>(encoder->client_data)->leave(message);
    };
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;
  ~JpegWriter() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }

 private:
  jpeg_error_mgr errors_{};
};

// Four components hold inks, which PIL takes to be inverted as Adobe stores them (0 is full ink), whether the file has
// Adobe's marker or not: each colour is what its ink and the black leave of the light.
void cmyk_to_rgb(const u8* cmyk, i64 pixels, u8* rgb) {
  for (i64 i = 0; i < pixels; ++i, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<u8>((cmyk[c] * cmyk[3] + 127) / 255);
}

}  // namespace

ImageHeader jpeg_header(std::string_view bytes, const std::string& name) {
  const JpegReader reader(bytes, name);
  constexpr std::string_view kExif("Exif\0\0", 6), kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  std::string exif, xmp;
  for (jpeg_saved_marker_ptr marker = reader.info.marker_list; marker; marker = marker->next) {
    std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.starts_with(kExif)) exif += data.substr(kExif.size());  // a long block is spread over several segments
    if (data.starts_with(kXmp)) xmp = data.substr(kXmp.size());
  }
  return {reader.size(), stored_orientation(exif, xmp)};
}

Tensor decode_jpeg(std::string_view bytes, const std::string& name, std::string* warning) {
  JpegReader reader(bytes, name);
  jpeg_decompress_struct& info = reader.info;
  const i64 height = reader.size().height, width = reader.size().width;
  const bool inks = info.num_components == 4;
  Tensor image = Tensor::empty({height, width, 3}, DType::kU8);
  std::vector<u8> cmyk(inks ? static_cast<size_t>(width) * 4 : 0);
  u8* row = image.data<u8>();
  reader.guard.run([&] {
    info.out_color_space = inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info);
    for (; info.output_scanline < info.output_height; row += width * 3) {
      JSAMPROW target = inks ? cmyk.data() : row;
      jpeg_read_scanlines(&info, &target, 1);
      if (inks) cmyk_to_rgb(cmyk.data(), width, row);
    }
    jpeg_finish_decompress(&info);  // reads to the end marker
  });
  if (warning) *warning = reader.warning();
  return image;
}

std::string encode_jpeg(const Tensor& image, int quality) {
  TESSERA_CHECK(image.dtype() == DType::kU8 && image.rank() == 3 && image.dim(2) == 3,
                "encode_jpeg: expected u8 [H, W, 3], got {} {}", name_of(image.dtype()), image.shape());
  TESSERA_CHECK(image.numel() > 0 && std::max(image.dim(0), image.dim(1)) <= JPEG_MAX_DIMENSION,
                "encode_jpeg: {} cannot be a picture: sides of 1 to {} can", image.shape(), JPEG_MAX_DIMENSION);
  JpegWriter writer(fmt::format("encode_jpeg: a picture of {}", image.shape()));
  jpeg_compress_struct& info = writer.info;
  const u8* pixels = image.data<u8>();
  const i64 width = image.dim(1);
  writer.guard.run([&] {
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &writer.bytes, &writer.size);
    info.image_height = static_cast<JDIMENSION>(image.dim(0));
    info.image_width = static_cast<JDIMENSION>(width);
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      JSAMPROW row = const_cast<JSAMPROW>(pixels + info.next_scanline * width * 3);  // is only read
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
  });
  return {reinterpret_cast<const char*>(writer.bytes), writer.size};
}

}  // namespace tessera
