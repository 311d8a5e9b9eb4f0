// Pictures as the frames of a video.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/tally.h"
#include "data/video.h"

namespace tessera {

// One picture after the other, `rate` of them in a second. One that cannot be read, or has not the size of the first
// that can, is no frame; its time stays empty.
class PictureFrames : public VideoReader {
 public:
  PictureFrames(std::vector<std::filesystem::path> files, i64 rate);

  VideoFormat format() const override { return {size_, {1, rate_}, {rate_, 1}}; }
  i64 frame_count() const override { return std::ssize(files_); }
  std::string left_out() const override { return {}; }
  std::optional<VideoFrame> next() override;
  std::string damage() const override;

 private:
  std::vector<std::filesystem::path> files_;
  i64 rate_;
  ImageSize size_;  // 0 x 0: no picture has one
  size_t read_ = 0;
  Tally failed_;
};

}  // namespace tessera
