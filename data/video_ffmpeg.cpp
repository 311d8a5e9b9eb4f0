#include "data/video_ffmpeg.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavdevice/avdevice.h>
#include <libavformat/avformat.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include "data/video_module.h"
#include "tensor/error.h"

namespace tessera {

namespace {

std::mutex complaint_mutex;
std::string complaint;  // the last one

void keep_complaint(void* /*context*/, int level, const char* format, va_list arguments) {
  if (level > AV_LOG_ERROR) return;
  std::array<char, 256> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  std::string text = line.data();
  while (!text.empty() && (text.back() == '\n' || text.back() == '.')) text.pop_back();
  const std::lock_guard lock(complaint_mutex);
  complaint = text;
}

std::string versions() {
  const auto version = [](unsigned number) {
    return fmt::format("{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
  };
  return fmt::format("FFmpeg's libavformat {}, libavcodec {}, libavdevice {}, libswscale {}",
                     version(avformat_version()), version(avcodec_version()), version(avdevice_version()),
                     version(swscale_version()));
}

SwsContext* scaler(SwsContext* previous, ImageSize from, AVPixelFormat from_format, ImageSize to,
                   AVPixelFormat to_format, const char* what) {
  // Every pixel with the exact arithmetic: the default's shortcuts lose up to two levels of each colour.
  constexpr int kFlags = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT;
  SwsContext* context = sws_getCachedContext(previous, static_cast<int>(from.width), static_cast<int>(from.height),
                                             from_format, static_cast<int>(to.width), static_cast<int>(to.height),
                                             to_format, kFlags, nullptr, nullptr, nullptr);
  TESSERA_CHECK(context, "{}: pixels of format {} cannot be converted to {}", what, av_get_pix_fmt_name(from_format),
                av_get_pix_fmt_name(to_format));
  return context;
}

// yuv_first: the other side is RGB, whose values are full.
void set_colours(SwsContext* context, int space, bool full_range, bool yuv_first) {
  const int* table = sws_getCoefficients(space);
  const int yuv = full_range ? 1 : 0;
  sws_setColorspaceDetails(context, table, yuv_first ? yuv : 1, table, yuv_first ? 1 : yuv, 0, 1 << 16, 1 << 16);
}

}  // namespace

void FfmpegDeleter::operator()(AVCodecContext* context) const {
  avcodec_free_context(&context);
}
void FfmpegDeleter::operator()(AVFrame* frame) const {
  av_frame_free(&frame);
}
void FfmpegDeleter::operator()(AVPacket* packet) const {
  av_packet_free(&packet);
}
void FfmpegDeleter::operator()(SwsContext* context) const {
  sws_freeContext(context);
}

FfmpegPtr<AVFrame> new_frame() {
  FfmpegPtr<AVFrame> frame(av_frame_alloc());
  if (!frame) throw std::bad_alloc();
  return frame;
}

FfmpegPtr<AVPacket> new_packet() {
  FfmpegPtr<AVPacket> packet(av_packet_alloc());
  if (!packet) throw std::bad_alloc();
  return packet;
}

void silence_ffmpeg() {
  av_log_set_callback(keep_complaint);
}

std::string ffmpeg_reason(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  const std::lock_guard lock(complaint_mutex);
  const std::string said = std::exchange(complaint, {});
  return said.empty() ? text.data() : fmt::format("{} ({})", text.data(), said);
}

int colour_space_for(i64 height) {
  return height < 720 ? AVCOL_SPC_SMPTE170M : AVCOL_SPC_BT709;
}

Tensor ColourConversion::to_rgb(const AVFrame& frame, ImageSize size) {
  const auto format = static_cast<AVPixelFormat>(frame.format);
  scaler_.reset(
      scaler(scaler_.release(), {frame.height, frame.width}, format, size, AV_PIX_FMT_RGB24, "a frame of the video"));
  set_colours(scaler_.get(),
              frame.colorspace == AVCOL_SPC_UNSPECIFIED ? colour_space_for(frame.height) : frame.colorspace,
              frame.color_range == AVCOL_RANGE_JPEG, true);
  Tensor image = Tensor::empty({size.height, size.width, 3}, DType::kU8);
  u8* const rows[4] = {image.data<u8>()};
  const int pitches[4] = {static_cast<int>(size.width * 3)};
  sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, rows, pitches);
  return image;
}

void ColourConversion::from_rgb(const Tensor& image, AVFrame& frame) {
  const ImageSize size{image.dim(0), image.dim(1)};
  scaler_.reset(scaler(scaler_.release(), size, AV_PIX_FMT_RGB24, {frame.height, frame.width},
                       static_cast<AVPixelFormat>(frame.format), "a frame of the video"));
  set_colours(scaler_.get(), frame.colorspace, frame.color_range == AVCOL_RANGE_JPEG, false);
  const u8* const rows[4] = {image.data<u8>()};
  const int pitches[4] = {static_cast<int>(size.width * 3)};
  sws_scale(scaler_.get(), rows, pitches, 0, static_cast<int>(size.height), frame.data, frame.linesize);
}

}  // namespace tessera

extern "C" __attribute__((visibility("default"))) const tessera::VideoModule tessera_video_module;
const tessera::VideoModule tessera_video_module = {
    [](const std::filesystem::path& path, const std::string& format) {
      tessera::silence_ffmpeg();
      return tessera::open_with_ffmpeg(path, format);
    },
    [](const std::filesystem::path& path, const tessera::VideoFormat& format, const std::string& encoder) {
      tessera::silence_ffmpeg();
      return tessera::create_with_ffmpeg(path, format, encoder);
    },
    tessera::versions};
