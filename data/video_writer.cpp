// Frames into files, by FFmpeg.
#include <algorithm>
#include <exception>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include "data/video_ffmpeg.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace tessera {

namespace {

constexpr int kBuffer = 1 << 16;

// A temporary file that FFmpeg writes to, as it would to a file of its own. No exception passes through FFmpeg: the
// first one is kept.
class Output {
 public:
  explicit Output(const std::filesystem::path& path) : file_(path) {
    context_ = avio_alloc_context(static_cast<u8*>(av_malloc(kBuffer)), kBuffer, 1, this, nullptr, write, seek);
    if (!context_) throw std::bad_alloc();
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() {
    av_freep(&context_->buffer);
    avio_context_free(&context_);
  }
  AVIOContext* context() const { return context_; }
  void check() const {
    if (failed_) std::rethrow_exception(failed_);
  }
  void commit() {
    avio_flush(context_);
    check();
    file_.commit();
  }

 private:
  template <class Call>
  static auto guarded(void* output, const Call& call) -> decltype(call(std::declval<Output&>())) {
    Output& self = *static_cast<Output*>(output);
    if (self.failed_) return AVERROR(EIO);
    try {
      return call(self);
    } catch (...) {
      self.failed_ = std::current_exception();
      return AVERROR(EIO);
    }
  }
  // The bytes are const from FFmpeg 7 on.
  template <class Byte>
  static int write_bytes(void* output, Byte* bytes, int count) {
    return guarded(output, [&](Output& self) {
      self.file_.write(bytes, static_cast<size_t>(count));
      return count;
    });
  }
  static constexpr auto write = [](void* output, auto* bytes, int count) { return write_bytes(output, bytes, count); };
  static i64 seek(void* output, i64 offset, int whence) {
    if (whence & AVSEEK_SIZE) return AVERROR(ENOSYS);
    return guarded(output, [&](Output& self) { return self.file_.seek(offset, whence & ~AVSEEK_FORCE); });
  }

  AtomicFile file_;
  AVIOContext* context_ = nullptr;
  std::exception_ptr failed_;
};

struct FreeOutput {
  void operator()(AVFormatContext* output) const { avformat_free_context(output); }
};

class FfmpegWriter : public VideoWriter {
 public:
  FfmpegWriter(const std::filesystem::path& path, const VideoFormat& format, const std::string& encoder)
      : name_(path.string()), size_(format.size) {
    AVFormatContext* output = nullptr;
    const int made = avformat_alloc_output_context2(&output, nullptr, nullptr, path.c_str());
    TESSERA_CHECK(made >= 0, "{}: the ending names no kind of video; {} are written", name_, video_endings());
    output_.reset(output);
    const AVCodec* codec = find_encoder(encoder);
    open_encoder(*codec, format);
    begin(path);
  }

  void write(const VideoFrame& frame) override {
    const Shape expected = {size_.height, size_.width, 3};
    TESSERA_CHECK(frame.image.shape() == expected, "{}: a frame {} in a video of {}", name_, frame.image.shape(),
                  expected);
    check(av_frame_make_writable(frame_.get()));
    colours_.from_rgb(to_even(frame.image), *frame_);
    frame_->pts = std::max(av_rescale_q(frame.time, unit_, encoder_->time_base), last_ + 1);
    last_ = frame_->pts;
    check(avcodec_send_frame(encoder_.get(), frame_.get()));
    pass_packets();
  }

  void finish() override {
    check(avcodec_send_frame(encoder_.get(), nullptr));
    pass_packets();
    check(av_write_trailer(output_.get()));
    file_->commit();
  }

 private:
  void check(int result) const {
    if (file_) file_->check();  // the reason behind FFmpeg's
    TESSERA_CHECK(result >= 0, "{}: cannot be written: {}", name_, ffmpeg_reason(result));
  }

  const AVCodec* find_encoder(const std::string& name) const {
    const AVCodecID usual = output_->oformat->video_codec;
    const AVCodec* codec = name.empty() ? avcodec_find_encoder(usual) : avcodec_find_encoder_by_name(name.c_str());
    TESSERA_CHECK(codec || !name.empty(),
                  "{}: FFmpeg's libraries here have no encoder for {}, which is usual in such a "
                  "file; choose another ending, or --encoder",
                  name_, avcodec_get_name(usual));
    TESSERA_CHECK(
        codec && codec->type == AVMEDIA_TYPE_VIDEO,
        "{}: FFmpeg's libraries here have no video encoder {}; there are libx264, mpeg4, libvpx-vp9 and others "
        "as they were built",
        name_, name);
    TESSERA_CHECK(avformat_query_codec(output_->oformat, codec->id, FF_COMPLIANCE_NORMAL) != 0,
                  "{}: {} does not go into such a file; choose another encoder, or another ending", name_,
                  avcodec_get_name(codec->id));
    return codec;
  }

  void open_encoder(const AVCodec& codec, const VideoFormat& format) {
    encoder_.reset(avcodec_alloc_context3(&codec));
    if (!encoder_) throw std::bad_alloc();
    AVCodecContext& encoder = *encoder_;
    unit_ = {static_cast<int>(format.time_unit.numerator), static_cast<int>(format.time_unit.denominator)};
    encoder.time_base = unit_;
    if (codec.id == AV_CODEC_ID_MPEG4)  // which has 16 bits for it
      av_reduce(&encoder.time_base.num, &encoder.time_base.den, unit_.num, unit_.den, 65535);
    encoder.framerate = {static_cast<int>(format.rate.numerator), static_cast<int>(format.rate.denominator)};
    encoder.height = static_cast<int>(size_.height + size_.height % 2);  // colours are stored for 2 x 2 pixels
    encoder.width = static_cast<int>(size_.width + size_.width % 2);
    encoder.pix_fmt = codec.pix_fmts ? avcodec_find_best_pix_fmt_of_list(codec.pix_fmts, AV_PIX_FMT_YUV420P, 0, nullptr)
                                     : AV_PIX_FMT_YUV420P;
    encoder.colorspace = static_cast<AVColorSpace>(colour_space_for(size_.height));
    encoder.color_primaries = size_.height < 720 ? AVCOL_PRI_SMPTE170M : AVCOL_PRI_BT709;
    encoder.color_trc = AVCOL_TRC_BT709;
    encoder.color_range = AVCOL_RANGE_MPEG;
    encoder.flags |= AV_CODEC_FLAG_BITEXACT;
    if (output_->oformat->flags & AVFMT_GLOBALHEADER) encoder.flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    // A constant quality at which masks keep their edges, and no more time than the network leaves: each encoder takes
    // what it knows.
    encoder.bit_rate = 0;
    encoder.flags |= codec.id == AV_CODEC_ID_MPEG4 ? AV_CODEC_FLAG_QSCALE : 0;
    encoder.global_quality = codec.id == AV_CODEC_ID_MPEG4 ? 3 * FF_QP2LAMBDA : 0;
    AVDictionary* options = nullptr;
    for (const auto& [key, value] :
         {std::pair{"preset", "veryfast"}, {"crf", "20"}, {"deadline", "realtime"}, {"cpu-used", "8"}})
      av_dict_set(&options, key, value, 0);
    const int opened = avcodec_open2(encoder_.get(), &codec, &options);
    av_dict_free(&options);
    TESSERA_CHECK(opened >= 0, "{}: the encoder {} cannot be used: {}", name_, codec.name, ffmpeg_reason(opened));
    frame_->format = encoder.pix_fmt;
    frame_->width = encoder.width;
    frame_->height = encoder.height;
    frame_->colorspace = encoder.colorspace;
    frame_->color_range = encoder.color_range;
    check(av_frame_get_buffer(frame_.get(), 0));
  }

  void begin(const std::filesystem::path& path) {
    stream_ = avformat_new_stream(output_.get(), nullptr);
    if (!stream_) throw std::bad_alloc();
    check(avcodec_parameters_from_context(stream_->codecpar, encoder_.get()));
    stream_->time_base = encoder_->time_base;
    stream_->avg_frame_rate = encoder_->framerate;
    output_->flags |= AVFMT_FLAG_BITEXACT;  // no numbers drawn at random, no versions
    file_ = std::make_unique<Output>(path);
    output_->pb = file_->context();
    check(avformat_write_header(output_.get(), nullptr));
  }

  void pass_packets() {
    while (true) {
      const int received = avcodec_receive_packet(encoder_.get(), packet_.get());
      if (received == AVERROR(EAGAIN) || received == AVERROR_EOF) return;
      check(received);
      av_packet_rescale_ts(packet_.get(), encoder_->time_base, stream_->time_base);
      packet_->stream_index = stream_->index;
      check(av_interleaved_write_frame(output_.get(), packet_.get()));
    }
  }

  static Tensor to_even(const Tensor& image) {
    const i64 height = image.dim(0), width = image.dim(1);
    if (height % 2 == 0 && width % 2 == 0) return image;
    Tensor even = Tensor::empty({height + height % 2, width + width % 2, 3}, DType::kU8);
    u8* to = even.data<u8>();
    for (i64 y = 0; y < even.dim(0); ++y) {
      const u8* row = image.data<u8>() + std::min(y, height - 1) * width * 3;
      to = std::copy_n(row, width * 3, to);
      if (width % 2) to = std::copy_n(row + (width - 1) * 3, 3, to);
    }
    return even;
  }

  std::string name_;
  ImageSize size_;
  AVRational unit_{};  // of the times of frames
  std::unique_ptr<Output> file_;
  std::unique_ptr<AVFormatContext, FreeOutput> output_;
  AVStream* stream_ = nullptr;  // of output_
  FfmpegPtr<AVCodecContext> encoder_;
  FfmpegPtr<AVFrame> frame_ = new_frame();
  FfmpegPtr<AVPacket> packet_ = new_packet();
  ColourConversion colours_;
  i64 last_ = INT64_MIN;  // time of the frame before
};

}  // namespace

std::unique_ptr<VideoWriter> create_with_ffmpeg(const std::filesystem::path& path, const VideoFormat& format,
                                                const std::string& encoder) {
  return std::make_unique<FfmpegWriter>(path, format, encoder);
}

}  // namespace tessera
