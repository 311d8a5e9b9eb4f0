// Frames out of files and cameras, by FFmpeg.
#include <algorithm>
#include <cmath>
#include <map>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavdevice/avdevice.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
}

#include "data/image_orientation.h"
#include "data/video_ffmpeg.h"
#include "tensor/error.h"

namespace tessera {

namespace {

constexpr double kTolerance = 1;  // seconds by which a whole file may end before its header says

struct CloseInput {
  void operator()(AVFormatContext* input) const { avformat_close_input(&input); }
};

// The EXIF orientation that a display matrix means, in quarters of a turn.
int orientation_of(const AVStream& stream) {
  const u8* matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
  if (!matrix) return 1;
  const double turned = av_display_rotation_get(reinterpret_cast<const int32_t*>(matrix));  // against the clock
  constexpr int kOrientations[4] = {1, 8, 3, 6};
  return std::isnan(turned) ? 1 : kOrientations[std::lround(turned / 90) & 3];
}

Fraction fraction_of(AVRational value) {
  return value.den > 0 ? Fraction{value.num, value.den} : Fraction{};
}

class FfmpegReader : public VideoReader {
 public:
  FfmpegReader(const std::filesystem::path& path, const std::string& format) : name_(path.string()) {
    open(path, format);
    choose_stream();
    const AVCodecParameters& parameters = *stream_->codecpar;
    orientation_ = orientation_of(*stream_);
    stored_ = {parameters.height, parameters.width};
    TESSERA_CHECK(stored_.height > 0 && stored_.width > 0, "{}: the video has no size", name_);
  }

  VideoFormat format() const override {
    return {upright_size(stored_, orientation_), fraction_of(stream_->time_base),
            fraction_of(av_guess_frame_rate(input_.get(), stream_, nullptr))};
  }
  i64 frame_count() const override { return std::max<i64>(stream_->nb_frames, 0); }

  std::string left_out() const override {
    std::map<std::string, int> others;
    for (unsigned i = 0; i < input_->nb_streams; ++i) {
      const char* kind = av_get_media_type_string(input_->streams[i]->codecpar->codec_type);
      if (input_->streams[i] != stream_) ++others[kind ? kind : "unknown kind"];
    }
    std::string text;
    for (const auto& [kind, count] : others) text += fmt::format("{}{} of {}", text.empty() ? "" : ", ", count, kind);
    return text;
  }

  std::optional<VideoFrame> next() override {
    while (true) {
      const int result = avcodec_receive_frame(decoder_.get(), frame_.get());
      if (result == AVERROR(EAGAIN)) {
        feed();
      } else if (result == AVERROR_EOF) {
        return std::nullopt;
      } else if (result < 0) {
        ++damaged_;
      } else {
        return take_frame();
      }
    }
  }

  std::string damage() const override {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
    if (damaged_ > 0) add(fmt::format("{} of its frames are damaged", damaged_));
    if (!failure_.empty()) add(fmt::format("cannot be read further than frame {}: {}", frames_, failure_));
    if (failure_.empty() && is_cut_off())
      add(fmt::format("ends after {:.2f} of {:.2f} seconds: the file is cut off", ended_, stated_seconds()));
    return text;
  }

 private:
  void open(const std::filesystem::path& path, const std::string& format) {
    std::error_code none;
    camera_ = !format.empty() || std::filesystem::is_character_file(path, none);
    const AVInputFormat* kind = nullptr;
    if (camera_) {
      avdevice_register_all();
      kind = av_find_input_format(format.empty() ? "v4l2" : format.c_str());
      TESSERA_CHECK(kind, "{}: FFmpeg's libraries here read no cameras ({})", name_, format.empty() ? "v4l2" : format);
    }
    AVDictionary* options = nullptr;
    if (!camera_) av_dict_set(&options, "protocol_whitelist", "file", 0);  // a playlist leads nowhere else
    AVFormatContext* input = nullptr;
    const int opened = avformat_open_input(&input, (camera_ ? name_ : "file:" + name_).c_str(), kind, &options);
    av_dict_free(&options);
    TESSERA_CHECK(opened >= 0, "{}: cannot be opened as a video: {}", name_, ffmpeg_reason(opened));
    input_.reset(input);
    const int found = avformat_find_stream_info(input, nullptr);
    TESSERA_CHECK(found >= 0, "{}: cannot be read as a video: {}", name_, ffmpeg_reason(found));
  }

  double stated_seconds() const { return static_cast<double>(std::max<i64>(input_->duration, 0)) / AV_TIME_BASE; }

  // Is it shorter than its header says? Where the header counts packets, too, by more than two frames; a count alone
  // may hold what an edit has left out.
  bool is_cut_off() const {
    if (camera_ || input_->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE) return false;
    const double rate = format().rate.value();
    const bool fewer = frame_count() > packets_ && rate > 0;
    return ended_ + (fewer ? std::min(2 / rate, kTolerance) : kTolerance) < stated_seconds();
  }

  void choose_stream() {
    const AVCodec* codec = nullptr;
    const int chosen = av_find_best_stream(input_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (chosen == AVERROR_DECODER_NOT_FOUND) {
      const int any = av_find_best_stream(input_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
      fail("{}: its video is coded as {}, for which FFmpeg's libraries here have no decoder", name_,
           avcodec_get_name(input_->streams[any]->codecpar->codec_id));
    }
    const bool video = chosen >= 0 && !(input_->streams[chosen]->disposition & AV_DISPOSITION_ATTACHED_PIC);
    const std::string others = left_out();
    TESSERA_CHECK(video, "{}: holds no video{}{}", name_, others.empty() ? "" : ", but " + others,
                  chosen >= 0 ? " (a picture that stands for its sound)" : "");
    stream_ = input_->streams[chosen];
    decoder_.reset(avcodec_alloc_context3(codec));
    if (!decoder_) throw std::bad_alloc();
    avcodec_parameters_to_context(decoder_.get(), stream_->codecpar);
    decoder_->pkt_timebase = stream_->time_base;
    const int opened = avcodec_open2(decoder_.get(), codec, nullptr);
    TESSERA_CHECK(opened >= 0, "{}: the decoder {} cannot be used: {}", name_, codec->name, ffmpeg_reason(opened));
  }

  // The decoder's next packet, or that there are no more.
  void feed() {
    const int read = av_read_frame(input_.get(), packet_.get());
    if (read < 0) {
      if (read != AVERROR_EOF) failure_ = ffmpeg_reason(read);
      avcodec_send_packet(decoder_.get(), nullptr);
      return;
    }
    const AVStream* stream = input_->streams[packet_->stream_index];
    if (packet_->pts != AV_NOPTS_VALUE) {
      const i64 start = input_->start_time == AV_NOPTS_VALUE ? 0 : input_->start_time;
      ended_ = std::max(ended_, static_cast<double>(packet_->pts + packet_->duration) * av_q2d(stream->time_base) -
                                    static_cast<double>(start) / AV_TIME_BASE);
    }
    packets_ += stream == stream_;
    if (stream == stream_ && avcodec_send_packet(decoder_.get(), packet_.get()) < 0) ++damaged_;
    av_packet_unref(packet_.get());
  }

  VideoFrame take_frame() {
    const AVFrame& frame = *frame_;
    if ((frame.flags & AV_FRAME_FLAG_CORRUPT) || frame.decode_error_flags) ++damaged_;
    i64 time = frame.best_effort_timestamp;
    if (time == AV_NOPTS_VALUE) time = frames_ == 0 ? 0 : last_time_ + 1;
    if (frames_ == 0 && camera_) first_time_ = time;  // a camera counts from when the machine started
    last_time_ = time;
    ++frames_;
    return {turn_upright(colours_.to_rgb(frame, stored_), orientation_), time - first_time_};
  }

  std::string name_;
  bool camera_ = false;
  std::unique_ptr<AVFormatContext, CloseInput> input_;
  AVStream* stream_ = nullptr;  // of input_
  FfmpegPtr<AVCodecContext> decoder_;
  FfmpegPtr<AVFrame> frame_ = new_frame();
  FfmpegPtr<AVPacket> packet_ = new_packet();
  ColourConversion colours_;
  ImageSize stored_;     // as the frames lie in the file; those of another size are scaled to it
  int orientation_ = 1;  // of the frames, as EXIF numbers them
  i64 packets_ = 0, frames_ = 0, damaged_ = 0, first_time_ = 0, last_time_ = 0;
  double ended_ = 0;     // seconds of the file that were read, of all streams
  std::string failure_;  // of reading
};

}  // namespace

std::unique_ptr<VideoReader> open_with_ffmpeg(const std::filesystem::path& path, const std::string& format) {
  return std::make_unique<FfmpegReader>(path, format);
}

}  // namespace tessera
