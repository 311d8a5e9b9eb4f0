// tessera predict of videos, from outside.
#include <cstdlib>

#include "data/image.h"
#include "data/video.h"
#include "tests/cli/program.h"
#include "tests/data/test_video.h"

namespace tessera {

using namespace test;

namespace {

// A threshold above every score leaves the frames as they are.
Arguments arguments(const fs::path& out, const Arguments& more, const std::string& threshold = "0") {
  Arguments all{"predict", "--checkpoint", trained(), "--threshold", threshold, "--out", out.string()};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

struct Clip {
  std::vector<i64> places;  // of the square, as it is found
  std::vector<double> seconds;
  ImageSize size;
};

Clip read_clip(const fs::path& path) {
  const auto reader = open_video(path);
  Clip clip{{}, {}, reader->format().size};
  while (const std::optional<VideoFrame> frame = reader->next()) {
    clip.places.push_back(find_square(frame->image));
    clip.seconds.push_back(static_cast<double>(frame->time) * reader->format().time_unit.value());
  }
  CHECK(reader->damage().empty());
  return clip;
}

constexpr ImageSize kSize = {320, 328};  // large enough not to be enlarged

}  // namespace

TEST_CASE("predict video: every frame comes out, in order and at its time, of a variable rate too") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path in = folder / "in.mp4", out = folder / "new" / "out.mp4";
  const std::vector<i64> times = {0, 40, 80, 85, 300, 310, 1000, 2000, 2040, 2041, 2500, 3000};
  write_clip(in, times, {1, 1000}, "", kSize);
  const Outcome outcome = run(arguments(out, {in.string()}, "1"));
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.out.starts_with("12 frames in " + out.string() + ": "));
  CHECK(outcome.out.find(" per second, latency ") != std::string::npos);
  CHECK(outcome.out.find("(99 % of the frames)") != std::string::npos);
  const Clip clip = read_clip(out);
  CHECK(clip.size == kSize);
  REQUIRE(clip.places.size() == times.size());
  for (size_t i = 0; i < times.size(); ++i) {
    CHECK(clip.places[i] == static_cast<i64>(i));
    CHECK(clip.seconds[i] == doctest::Approx(static_cast<double>(times[i]) / 1000).epsilon(1e-9));
  }
  CHECK(run(arguments(out, {"--limit", "5", in.string()})).code == 0);
  CHECK(read_clip(out).places.size() == 5);
}

TEST_CASE("predict video: what is found is drawn, and every byte is the same a second time") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path in = folder / "in.mp4", out = folder / "out.mkv";
  write_clip(in, even_times(30));
  std::string first;
  for (int round = 0; round < 2; ++round) {
    const Outcome outcome = run(arguments(out, {"--encoder", "mpeg4", in.string()}));
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const std::string bytes = read_file(out);
    CHECK((first.empty() || bytes == first));
    first = bytes;
  }
  const auto reader = open_video(out);
  CHECK(reader->format().size == ImageSize{320, 480});  // enlarged, so that names can be read
  const Tensor frame = reader->next()->image;
  i64 coloured = 0;
  for (i64 i = 0; i < frame.numel(); i += 3) coloured += frame.data<u8>()[i + 2] > 120;  // neither ground nor square
  CHECK(coloured > 500);
}

TEST_CASE("predict video: pictures are frames; one that cannot be read is told, and its time stays empty") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path images = folder / "images", out = folder / "out.mp4";
  fs::create_directory(images);
  for (i64 i = 0; i < 12; ++i) save_png(images / fmt::format("{:02}.png", i), moving_square(i, kSize));
  const Arguments ten_a_second = arguments(out, {"--fps", "10", images.string()}, "1");
  Outcome outcome = run(ten_a_second);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  Clip clip = read_clip(out);
  REQUIRE(clip.places.size() == 12);
  CHECK(clip.places[11] == 11);
  CHECK(clip.seconds[11] == doctest::Approx(1.1));
  write_file(images / "03.png", "no picture");
  save_png(images / "07.png", moving_square(7));
  outcome = run(ten_a_second);
  CHECK(outcome.code == 1);
  CHECK(outcome.err.find("2 pictures are no frames: ") != std::string::npos);
  CHECK(outcome.err.find("03.png: is neither a JPEG nor a PNG image") != std::string::npos);
  CHECK(outcome.err.find("07.png: has 64 x 96 pixels, the first frame 320 x 328") != std::string::npos);
  clip = read_clip(out);
  REQUIRE(clip.places.size() == 10);
  CHECK(clip.places[3] == 4);
  CHECK(clip.seconds[3] == doctest::Approx(0.4));
}

TEST_CASE("predict video: a file that is cut off gives a video of the frames before, and an error") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path in = folder / "in.mkv", out = folder / "out.mp4";
  write_clip(in, even_times(100), {1, 25}, "mpeg4", kSize);
  const std::string whole = read_file(in);
  write_file(in, whole.substr(0, whole.size() / 2));
  const Outcome outcome = run(arguments(out, {in.string()}, "1"));
  CHECK(outcome.code == 1);
  CHECK(outcome.err.find("tessera: " + in.string() + ": ") == 0);
  CHECK(outcome.err.find("the file is cut off; what could be read is in " + out.string()) != std::string::npos);
  const size_t count = read_clip(out).places.size();
  CHECK(count > 20);
  CHECK(count < 80);
  CHECK(outcome.out.starts_with(fmt::format("{} frames in ", count)));
}

TEST_CASE("predict video: sound is left out with a word") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  for (const i64 frames : {1, 8}) {
    write_file(folder / "in.avi", avi_bytes(frames, true));
    const Outcome outcome = run(arguments(folder / "out.mp4", {(folder / "in.avi").string()}));
    CHECK(outcome.code == 0);
    CHECK(outcome.err == "tessera: " + (folder / "in.avi").string() + ": left out: 1 of audio\n");
    CHECK(static_cast<i64>(read_clip(folder / "out.mp4").places.size()) == frames);
  }
  write_file(folder / "in.wav", wav_bytes());
  check_fails(arguments(folder / "sound.mp4", {(folder / "in.wav").string()}), 1,
              "in.wav: holds no video, but 1 of audio");
  CHECK(!fs::exists(folder / "sound.mp4"));
}

TEST_CASE("predict video: what cannot be is said before anything is written") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const std::string in = (folder / "in.mp4").string(), other = (folder / "other.mp4").string();
  write_clip(in, even_times(5));
  const std::string before = read_file(in);
  fs::create_hard_link(in, folder / "linked.mp4");
  const fs::path out = folder / "out.mp4";
  check_fails(arguments(in, {in}), 1, "is read by this call");
  check_fails(arguments(folder / "linked.mp4", {in}), 1, "is read by this call");
  check_fails(arguments(out, {"--encoder", "nobody", in}), 1, "no video encoder nobody");
  check_fails(arguments(folder / "out.webm", {"--encoder", "mpeg4", in}), 1, "mpeg4 does not go into such a file");
  check_fails(arguments(out, {"--maps", in}), 1, "--maps, --stages and --annotations are of pictures");
  check_fails(arguments(out, {"--fps", "5", in}), 1, "--fps is of pictures");
  check_fails(arguments(out, {in, other}), 1, "one video at a time");
  check_fails(arguments(out, {other}), 1, "other.mp4: cannot be opened as a video: No such file");
  check_fails(arguments(folder / "out", {in}), 1, "in.mp4: is a video, for which --out is one too");
  check_fails(arguments(folder / "out", {"--encoder", "mpeg4", (workshop().folder / "shapes" / "val").string()}), 1,
              "--encoder is of videos");
  CHECK(read_file(in) == before);
  CHECK(!fs::exists(out));
}

TEST_CASE("predict video: on a disk that fills up nothing is left, and an earlier file stays") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path in = folder / "in.mp4", out = folder / "out.mkv";
  write_clip(in, even_times(100));
  write_file(out, "earlier");
  std::string line = "ulimit -f 8; exec '" + (binary_dir() / "tessera").string() + "'";
  for (const std::string& argument : arguments(out, {in.string()})) line += " '" + argument + "'";
  const int status = std::system((line + " 2>'" + (folder / "stderr").string() + "' >/dev/null").c_str());
  CHECK(WEXITSTATUS(status) == 1);
  CHECK(read_file(folder / "stderr") == "tessera: " + out.string() +
                                            ": cannot be written: File too large; the previous file, if any, is "
                                            "unchanged\n");
  CHECK(read_file(out) == "earlier");
  CHECK(!fs::exists(folder / "out.mkv.partial"));
}

TEST_CASE("predict video: stopped by a signal it leaves a video of the frames so far") {
  if (!has_video()) return;
  const TemporaryFolder folder;
  const fs::path in = folder / "in.mp4", out = folder / "out.mp4";
  write_clip(in, even_times(3000), {1, 25}, "mpeg4");
  const Program program(folder.path(), arguments(out, {in.string()}));
  for (i64 i = 0; i < 2000 && !fs::exists(out.string() + ".partial"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  program.send(SIGINT);
  const Outcome outcome = program.wait();
  CHECK(outcome.code == 128 + SIGINT);
  const size_t count = read_clip(out).places.size();
  CHECK(outcome.err == fmt::format("tessera: predict: stopped after {} frames\n", count));
  CHECK(count > 0);
  CHECK(count < 3000);
}

TEST_CASE("predict video: where the build has none it is said how to get it") {
  if (has_video()) return;
  const TemporaryFolder folder;
  check_fails(arguments(folder / "out.mp4", {"in.mp4"}), 1, "apt-get install libavformat-dev");
}

}  // namespace tessera
