// Videos as they are written and read again, and as others write them. Without FFmpeg's libraries: what is said.
#include "data/video.h"

#include <doctest/doctest.h>

#include <numeric>

#include "tensor/file.h"
#include "tests/data/test_video.h"
#include "tests/support/check_error.h"
#include "tests/support/full_disk.h"
#include "tests/support/temporary_folder.h"

namespace tessera {

using namespace test;
namespace fs = std::filesystem;

namespace {

u32 big_endian(const std::string& bytes, size_t at) {
  u32 value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<u8>(bytes[at + i]);
  return value;
}

void set_big_endian(std::string& bytes, size_t at, u32 value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(value >> (8 * (3 - i)) & 255);
}

// An MP4 file with its index ("moov") before its frames, as those that are served are: cut off, it can still be read.
std::string with_index_first(const std::string& mp4) {
  const size_t data = mp4.find("mdat") - 4, index = mp4.rfind("moov") - 4;
  std::string moov = mp4.substr(index);
  const size_t offsets = moov.find("stco");
  for (u32 i = 0; i < big_endian(moov, offsets + 8); ++i) {
    const size_t at = offsets + 12 + 4 * i;
    set_big_endian(moov, at, big_endian(moov, at) + static_cast<u32>(moov.size()));
  }
  return mp4.substr(0, data) + moov + mp4.substr(data, index - data);
}

double seconds(const VideoReader& reader, i64 time) {
  return static_cast<double>(time) * reader.format().time_unit.value();
}

}  // namespace

TEST_CASE("video: frames come back in number, order, time and colour from every container") {
  if (!has_video()) return;
  const std::vector<i64> times = {0, 40, 80, 95, 110, 300, 1300, 1340, 1500, 1533};  // milliseconds, a variable rate
  for (const char* name : {"a.mp4", "a.mkv", "a.MOV", "a.webm"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    write_clip(folder / name, times, {1, 1000});
    const auto reader = open_video(folder / name);
    CHECK(reader->format().size == ImageSize{64, 96});
    CHECK(reader->left_out().empty());
    const std::vector<VideoFrame> frames = read_all(*reader);
    CHECK(reader->damage().empty());
    REQUIRE(frames.size() == times.size());
    for (size_t i = 0; i < frames.size(); ++i) {
      CHECK(find_square(frames[i].image) == static_cast<i64>(i));
      CHECK(seconds(*reader, frames[i].time) == doctest::Approx(static_cast<double>(times[i]) / 1000).epsilon(1e-9));
      const u8* inside = frames[i].image.data<u8>() + ((square_place(static_cast<i64>(i)) + 8) * 97) * 3;
      for (int c = 0; c < 3; ++c)
        CHECK(std::abs(int{inside[c]} - std::array{220, 180, 60}[static_cast<size_t>(c)]) <= 8);
    }
  }
}

TEST_CASE("video: a time that does not grow moves behind the one before, and MPEG-4's 16 bits hold every unit") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  write_clip(folder / "a.mp4", {0, 10, 10, 5, 30}, {1, 90000}, "mpeg4");
  const auto reader = open_video(folder / "a.mp4");
  const std::vector<VideoFrame> frames = read_all(*reader);
  REQUIRE(frames.size() == 5);
  for (size_t i = 1; i < frames.size(); ++i) CHECK(frames[i].time > frames[i - 1].time);
}

TEST_CASE("video: odd sides grow by a column or row that repeats the last, and the same frames give the same bytes") {
  if (!has_video()) return;
  for (const auto& [name, encoder] : {std::pair{"a.mp4", "mpeg4"}, {"a.mkv", "mpeg4"}, {"a.webm", ""}}) {
    const TemporaryFolder folder;
    write_clip(folder / name, even_times(5), {1, 25}, encoder, {33, 47});
    const std::string bytes = read_file(folder / name);
    write_clip(folder / name, even_times(5), {1, 25}, encoder, {33, 47});
    CHECK(read_file(folder / name) == bytes);
    const auto reader = open_video(folder / name);
    CHECK(reader->format().size == ImageSize{34, 48});
    const std::vector<VideoFrame> frames = read_all(*reader);
    REQUIRE(frames.size() == 5);
    CHECK(find_square(frames[3].image) == 3);
  }
  const auto writer = create_video(TemporaryFolder() / "b.mp4", {{64, 96}, {1, 25}});
  CHECK_ERROR(writer->write({Tensor::zeros({64, 95, 3}, DType::kU8), 0}),
              "a frame [64, 95, 3] in a video of [64, 96, 3]");
}

TEST_CASE("video: a file that is cut off gives the frames before, and says so") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path path = folder / "cut.mkv";
  write_clip(path, even_times(100), {1, 25}, "mpeg4");
  const std::string mkv = read_file(path);
  write_file(path, mkv.substr(0, mkv.size() / 2));
  auto reader = open_video(path);
  size_t count = read_all(*reader).size();
  CHECK(count > 20);
  CHECK(count < 80);
  CHECK(reader->damage().find("the file is cut off") != std::string::npos);

  write_clip(folder / "whole.mp4", even_times(100), {1, 25}, "mpeg4");
  const std::string mp4 = with_index_first(read_file(folder / "whole.mp4"));
  write_file(folder / "first.mp4", mp4);
  reader = open_video(folder / "first.mp4");
  CHECK(read_all(*reader).size() == 100);
  CHECK(reader->damage().empty());
  write_file(folder / "first.mp4", mp4.substr(0, mp4.size() * 3 / 4));
  reader = open_video(folder / "first.mp4");
  count = read_all(*reader).size();
  CHECK(count > 20);
  CHECK(count < 100);
  CHECK(reader->damage().find("the file is cut off") != std::string::npos);
  write_file(folder / "last.mp4", read_file(folder / "whole.mp4").substr(0, 5000));
  CHECK_ERROR(open_video(folder / "last.mp4"), "last.mp4: cannot be opened as a video: ");
}

TEST_CASE("video: damaged bytes cost frames or are an error, and end in nothing else") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path path = folder / "bad.mkv";
  write_clip(path, even_times(30));
  const std::string whole = read_file(path);
  i64 noticed = 0;
  for (size_t round = 0; round < 40; ++round) {
    std::string bad = whole;
    for (size_t i = 0; i < 20; ++i) bad[(round * 7919 + i * 104729) % bad.size()] ^= static_cast<char>(round + i + 1);
    write_file(path, bad);
    try {
      const auto reader = open_video(path);
      CHECK(read_all(*reader).size() <= 60);
      noticed += !reader->damage().empty();
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("bad.mkv: ") != std::string::npos);
      ++noticed;
    }
  }
  CHECK(noticed >= 10);
}

TEST_CASE("video: sound is left out and said; sound alone, a text and no file are errors") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  for (const i64 count : {1, 12}) {  // a still with sound, and a clip
    write_file(folder / "a.avi", avi_bytes(count, true));
    const auto reader = open_video(folder / "a.avi");
    CHECK(reader->left_out() == "1 of audio");
    const std::vector<VideoFrame> frames = read_all(*reader);
    CHECK(reader->damage().empty());
    REQUIRE(static_cast<i64>(frames.size()) == count);
    CHECK(find_square(frames.back().image) == count - 1);
    CHECK(seconds(*reader, frames.back().time) == doctest::Approx(0.1 * static_cast<double>(count - 1)));
  }
  write_file(folder / "a.wav", wav_bytes());
  CHECK_ERROR(open_video(folder / "a.wav"), "a.wav: holds no video, but 1 of audio");
  write_file(folder / "a.txt", "no video at all\n");
  CHECK_ERROR(open_video(folder / "a.txt"), "a.txt: cannot be opened as a video: Invalid data");
  CHECK_ERROR(open_video(folder / "absent.mp4"), "absent.mp4: cannot be opened as a video: No such file");
}

TEST_CASE("video: a codec that is not there is named") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  write_file(folder / "a.avi", avi_bytes(3, false, "ZZZZ"));
  CHECK_ERROR(open_video(folder / "a.avi"), "for which FFmpeg's libraries here have no decoder");
  const VideoFormat format{{64, 96}, {1, 25}};
  CHECK_ERROR(create_video(folder / "a.mp4", format, "h266_nobody"),
              "a.mp4: FFmpeg's libraries here have no video encoder h266_nobody");
  CHECK_ERROR(create_video(folder / "a.mp4", format, "aac"), "no video encoder aac");
  CHECK_ERROR(create_video(folder / "a.webm", format, "mpeg4"), "a.webm: mpeg4 does not go into such a file");
  CHECK_ERROR(create_video(folder / "a.nothing", format), "the ending names no kind of video");
  CHECK(!fs::exists(folder / "a.mp4"));
}

TEST_CASE("video: a disk that fills up is an error that names the file, and the earlier one stays") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  for (const char* name : {"a.mp4", "a.mkv"}) {
    write_file(folder / name, "earlier");
    {
      const FullDisk full(3000);
      CHECK_ERROR(write_clip(folder / name, even_times(200), {1, 25}, "mpeg4"),
                  std::string(name) + ": cannot be written: File too large; the previous file, if any, is unchanged");
    }
    CHECK(read_file(folder / name) == "earlier");
    CHECK(!fs::exists(folder / (std::string(name) + ".partial")));
  }
}

TEST_CASE("video: a writer that does not finish leaves nothing") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  create_video(folder / "a.mp4", {{64, 96}, {1, 25}})->write({moving_square(0), 0});
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("video: frames lie upright, as the file says how the camera was held") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path path = folder / "a.mp4";
  write_clip(path, even_times(3));
  std::string bytes = read_file(path);
  const size_t matrix = bytes.find("tkhd") + 44;
  constexpr u32 kOne = 1 << 16;
  const std::array<u32, 4> quarter = {0, kOne, static_cast<u32>(-static_cast<i32>(kOne)), 0};  // a b, c d: by the clock
  for (size_t i = 0; i < 4; ++i) set_big_endian(bytes, matrix + std::array<size_t, 4>{0, 4, 12, 16}[i], quarter[i]);
  write_file(path, bytes);
  const auto reader = open_video(path);
  CHECK(reader->format().size == ImageSize{96, 64});
  const std::vector<VideoFrame> frames = read_all(*reader);
  REQUIRE(frames.size() == 3);
  REQUIRE(frames[0].image.shape() == Shape{96, 64, 3});
  CHECK(frames[0].image.data<u8>()[(2 * 64 + 61) * 3] > 150);  // from the left upper corner to the right one
  CHECK(frames[0].image.data<u8>()[(2 * 64 + 2) * 3] < 80);
}

TEST_CASE("video: a camera's frames count from its first, and one that is not there is an error") {
  if (!has_video()) return;
  const auto reader = open_video("testsrc=size=64x48:rate=10:duration=0.5,setpts=PTS+1000/TB", "lavfi");
  const std::vector<VideoFrame> frames = read_all(*reader);
  REQUIRE(frames.size() == 5);
  for (size_t i = 0; i < 5; ++i)
    CHECK(seconds(*reader, frames[i].time) == doctest::Approx(0.1 * static_cast<double>(i)));
  CHECK(reader->damage().empty());
  CHECK_ERROR(open_video("/dev/null"), "/dev/null: cannot be opened as a video: ");
  CHECK_ERROR(open_video("/dev/video987"), "/dev/video987: cannot be opened as a video: No such file");
}

TEST_CASE("video: where there is none it is said how to get it") {
  if (has_video()) {
    CHECK(video_support().find("libavformat ") != std::string::npos);
    return;
  }
  CHECK_ERROR(open_video("a.mp4"), "a.mp4: no video can be read or written: ");
  CHECK_ERROR(create_video("a.mp4", {{64, 96}, {1, 25}}), "apt-get install libavformat-dev");
}

}  // namespace tessera
