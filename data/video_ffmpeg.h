// FFmpeg's objects as C++ knows ownership, and its errors in words. For the sources of the module alone.
#pragma once

#include <memory>
#include <string>

#include "data/video.h"

struct AVCodecContext;
struct AVFormatContext;
struct AVFrame;
struct AVPacket;
struct SwsContext;

namespace tessera {

// What the module offers (data/video.h), each in a source of its own.
std::unique_ptr<VideoReader> open_with_ffmpeg(const std::filesystem::path& path, const std::string& format);
std::unique_ptr<VideoWriter> create_with_ffmpeg(const std::filesystem::path& path, const VideoFormat& format,
                                                const std::string& encoder);

struct FfmpegDeleter {
  void operator()(AVCodecContext* context) const;
  void operator()(AVFrame* frame) const;
  void operator()(AVPacket* packet) const;
  void operator()(SwsContext* scaler) const;
};
template <class T>
using FfmpegPtr = std::unique_ptr<T, FfmpegDeleter>;

FfmpegPtr<AVFrame> new_frame();
FfmpegPtr<AVPacket> new_packet();

// What FFmpeg's libraries would print is kept, the last complaint, for the next message. Called before anything else.
void silence_ffmpeg();

// What a negative return value means, and the last complaint since the last call: "Invalid data found when processing
// input (moov atom not found)".
std::string ffmpeg_reason(int code);

// One direction between RGB tensors and the frames of a codec. Colours are told apart as players do: as the stream
// says, else by BT.601 below 720 rows and BT.709 from there on.
class ColourConversion {
 public:
  // Any frame as u8 [height, width, 3].
  Tensor to_rgb(const AVFrame& frame, ImageSize size);
  // u8 [H, W, 3] into a frame that has its format, size, colours and memory.
  void from_rgb(const Tensor& image, AVFrame& frame);

 private:
  FfmpegPtr<SwsContext> scaler_;
};

// BT.601 or BT.709, as AVColorSpace has it.
int colour_space_for(i64 height);

}  // namespace tessera
