#include "tests/data/test_video.h"

#include <cmath>
#include <numeric>

#include "tests/data/test_images.h"

namespace tessera::test {

namespace {

constexpr i64 kSide = 16;

std::string number(u32 value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}

std::string chunk(const std::string& name, const std::string& content) {
  return name + number(static_cast<u32>(content.size()), 4) + content +
         (content.size() % 2 ? std::string(1, '\0') : "");
}

std::string list(const std::string& name, const std::string& content) {
  return chunk("LIST", name + content);
}

// One channel of 8000 samples in a second, 8 bits each.
std::string wave_format() {
  return number(1, 2) + number(1, 2) + number(8000, 4) + number(8000, 4) + number(1, 2) + number(8, 2);
}

std::string silence() {
  return std::string(8000, '\x80');
}

std::string stream_header(const std::string& kind, const std::string& codec, u32 scale, u32 rate, u32 length) {
  return chunk("strh", kind + codec + number(0, 4) + number(0, 4) + number(0, 4) + number(scale, 4) + number(rate, 4) +
                           number(0, 4) + number(length, 4) + number(0, 4) + number(0xFFFFFFFF, 4) +
                           number(kind == "auds" ? 1 : 0, 4) + number(0, 8));
}

}  // namespace

i64 square_place(i64 i) {
  return 2 * (i % 24);
}

Tensor moving_square(i64 i, ImageSize size) {
  Tensor frame = Tensor::full({size.height, size.width, 3}, 40, DType::kU8);
  const i64 place = square_place(i);
  for (i64 y = place; y < std::min(place + kSide, size.height); ++y)
    for (i64 x = place; x < std::min(place + kSide, size.width); ++x) {
      u8* pixel = frame.data<u8>() + (y * size.width + x) * 3;
      pixel[0] = 220, pixel[1] = 180, pixel[2] = 60;
    }
  return frame;
}

i64 find_square(const Tensor& frame) {
  const ImageSize size{frame.dim(0), frame.dim(1)};
  i64 best = -1, least = INT64_MAX;
  for (i64 i = 0; i < 24; ++i) {
    const Tensor expected = moving_square(i, size);
    i64 difference = 0;
    for (i64 k = 0; k < frame.numel(); ++k)
      difference += std::abs(int{frame.data<u8>()[k]} - int{expected.data<u8>()[k]});
    if (difference < least) least = difference, best = i;
  }
  return best;
}

std::vector<i64> even_times(i64 count) {
  std::vector<i64> times(static_cast<size_t>(count));
  std::iota(times.begin(), times.end(), 0);
  return times;
}

void write_clip(const std::filesystem::path& path, const std::vector<i64>& times, Fraction unit,
                const std::string& encoder, ImageSize size) {
  const auto writer = create_video(path, {size, unit, {25, 1}}, encoder);
  for (size_t i = 0; i < times.size(); ++i) writer->write({moving_square(static_cast<i64>(i), size), times[i]});
  writer->finish();
}

std::vector<VideoFrame> read_all(VideoReader& reader) {
  std::vector<VideoFrame> frames;
  while (std::optional<VideoFrame> frame = reader.next()) frames.push_back(std::move(*frame));
  return frames;
}

std::string avi_bytes(i64 frames, bool sound, const std::string& codec) {
  const u32 count = static_cast<u32>(frames), height = 64, width = 96;
  const std::string main =
      chunk("avih", number(100000, 4) + number(0, 12) + number(count, 4) + number(0, 4) + number(sound ? 2 : 1, 4) +
                        number(0, 4) + number(width, 4) + number(height, 4) + number(0, 16));
  std::string headers =
      main + list("strl", stream_header("vids", codec, 1, 10, count) +
                              chunk("strf", number(40, 4) + number(width, 4) + number(height, 4) + number(1, 2) +
                                                number(24, 2) + codec + number(0, 20)));
  if (sound) headers += list("strl", stream_header("auds", number(0, 4), 1, 8000, 8000) + chunk("strf", wave_format()));
  std::string movie;
  for (i64 i = 0; i < frames; ++i) movie += chunk("00dc", jpeg_bytes(moving_square(i)));
  if (sound) movie += chunk("01wb", silence());
  return chunk("RIFF", "AVI " + list("hdrl", headers) + list("movi", movie));
}

std::string wav_bytes() {
  return chunk("RIFF", "WAVE" + chunk("fmt ", wave_format()) + chunk("data", silence()));
}

}  // namespace tessera::test
