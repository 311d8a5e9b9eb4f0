// What the module libtessera_video.so offers to the library, by its one symbol.
#pragma once

#include "data/video.h"

namespace tessera {

struct VideoModule {
  std::unique_ptr<VideoReader> (*open)(const std::filesystem::path& path, const std::string& format);
  std::unique_ptr<VideoWriter> (*create)(const std::filesystem::path& path, const VideoFormat& format,
                                         const std::string& encoder);
  std::string (*versions)();
};

}  // namespace tessera
