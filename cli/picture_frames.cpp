#include "cli/picture_frames.h"

namespace tessera {

PictureFrames::PictureFrames(std::vector<std::filesystem::path> files, i64 rate)
    : files_(std::move(files)), rate_(rate) {
  for (size_t i = 0; i < files_.size() && size_.height == 0; ++i) {
    try {
      size_ = image_size(files_[i]);
    } catch (const Error&) {  // is told when it is its turn
    }
  }
  TESSERA_CHECK(size_.height > 0, "{}: none of the pictures can be read", files_.at(0).string());
}

std::optional<VideoFrame> PictureFrames::next() {
  while (read_ < files_.size()) {
    const i64 time = static_cast<i64>(read_);
    const std::filesystem::path& file = files_[read_++];
    try {
      Tensor image = load_image(file);
      TESSERA_CHECK(image.dim(0) == size_.height && image.dim(1) == size_.width,
                    "{}: has {} x {} pixels, the first frame {} x {}", file.string(), image.dim(0), image.dim(1),
                    size_.height, size_.width);
      return VideoFrame{std::move(image), time};
    } catch (const Error& error) {
      failed_.add(error.what());
    }
  }
  return std::nullopt;
}

std::string PictureFrames::damage() const {
  return failed_.count > 0 ? fmt::format("{} pictures are no frames: {}", failed_.count, failed_.names()) : "";
}

}  // namespace tessera
