#include "data/video.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "data/video_module.h"
#include "tensor/error.h"

namespace tessera {

namespace {

constexpr std::array kEndings = {".mp4", ".mkv", ".mov", ".webm"};  // containers that keep the time of every frame

constexpr const char* kRemedy =
    "install FFmpeg's libraries (Debian: apt-get install libavformat-dev libavcodec-dev libavdevice-dev "
    "libavutil-dev libswscale-dev) and build again";

struct LoadedModule {
  const VideoModule* module = nullptr;
  std::string reason;  // where there is none
};

// Programs that never see a video do not wait for FFmpeg's libraries, more than a hundred, to be loaded.
LoadedModule load_module() {
#ifdef TESSERA_VIDEO
  Dl_info own{};
  dladdr(reinterpret_cast<const void*>(&video_support), &own);
  const std::filesystem::path file = std::filesystem::path(own.dli_fname).parent_path() / "libtessera_video.so";
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return {nullptr, fmt::format("the module cannot be loaded: {}", dlerror())};
  const auto* module = static_cast<const VideoModule*>(dlsym(library, "tessera_video_module"));
  if (!module) return {nullptr, fmt::format("{}: is no module of this library", file.string())};
  return {module, ""};
#else
  return {nullptr, fmt::format("this build has none (TESSERA_VIDEO): {}", kRemedy)};
#endif
}

const LoadedModule& loaded() {
  static const LoadedModule module = load_module();
  return module;
}

const VideoModule& module_for(const std::filesystem::path& path) {
  TESSERA_CHECK(loaded().module, "{}: no video can be read or written: {}", path.string(), loaded().reason);
  return *loaded().module;
}

}  // namespace

bool is_video_name(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

std::string video_endings() {
  return fmt::format("{}", fmt::join(kEndings, ", "));
}

std::unique_ptr<VideoReader> open_video(const std::filesystem::path& path, const std::string& format) {
  return module_for(path).open(path, format);
}

std::unique_ptr<VideoWriter> create_video(const std::filesystem::path& path, const VideoFormat& format,
                                          const std::string& encoder) {
  return module_for(path).create(path, format, encoder);
}

std::string video_support() {
  return loaded().module ? loaded().module->versions() : loaded().reason;
}

bool has_video() {
  return loaded().module != nullptr;
}

}  // namespace tessera
