// Videos: frames out of files and cameras, and into files. FFmpeg's libraries read and write them, in a module of their
// own that is loaded when the first video is opened: libtessera_video.so beside libtessera.so, where the build found
// them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/image.h"

namespace tessera {

struct Fraction {
  i64 numerator = 0, denominator = 1;
  double value() const { return static_cast<double>(numerator) / static_cast<double>(denominator); }
};

struct VideoFormat {
  ImageSize size;      // of all frames
  Fraction time_unit;  // of VideoFrame::time, in seconds
  Fraction rate = {};  // frames per second, on average; 0: unknown
};

struct VideoFrame {
  Tensor image;  // u8 [H, W, 3], RGB, upright
  i64 time = 0;  // when it is shown, in units of VideoFormat::time_unit
};

class VideoReader {
 public:
  virtual ~VideoReader() = default;
  virtual VideoFormat format() const = 0;
  virtual i64 frame_count() const = 0;       // as the file says; 0: it does not
  virtual std::string left_out() const = 0;  // streams beside the one that is read, "1 of audio"; empty: none

  // The next frame by time; nothing at the end. What is damaged does not end it before the file does: see damage().
  virtual std::optional<VideoFrame> next() = 0;
  // After the last frame: what could not be read, "ends after frame 20 of 40: the file is cut off"; empty: nothing.
  virtual std::string damage() const = 0;
};

class VideoWriter {
 public:
  virtual ~VideoWriter() = default;
  // A frame of the format's size. A time that is not after the last one is moved behind it by one unit.
  virtual void write(const VideoFrame& frame) = 0;
  // Completes the file, which until then has another name: without it there is no file, and an earlier one stays.
  virtual void finish() = 0;
};

// Does the name end as that of a video that can be written (.mp4)?
bool is_video_name(const std::filesystem::path& path);
std::string video_endings();  // of those that can be written, ".mp4, .mkv, .mov, .webm"

// A file, of whatever kind FFmpeg reads; or a camera, a device of Video4Linux (/dev/video0), whose frames have the
// times of their capture, the first 0. `format` names another input of FFmpeg's (lavfi, for tests). Throws, naming the
// file, when it cannot be opened, holds no video, or holds one that this FFmpeg has no decoder for.
std::unique_ptr<VideoReader> open_video(const std::filesystem::path& path, const std::string& format = "");

// `encoder`: FFmpeg's name of one (mpeg4); empty: the container's own choice (H.264, of .webm VP9). A frame with an odd
// side gets one more column or row, which repeats the last. The same frames give the same bytes where the encoder keeps
// to that, as mpeg4 and VP9 do; libx264 was seen to differ in the bits of tiny frames. Throws, naming the file, when
// there is no such encoder or it does not go into the container.
std::unique_ptr<VideoWriter> create_video(const std::filesystem::path& path, const VideoFormat& format,
                                          const std::string& encoder = "");

// "libavformat 59.27.100, ...", or why there is no video and how to get it. Throws nothing.
std::string video_support();
bool has_video();

}  // namespace tessera
