// What the fuzz targets share. A target hands any bytes to one reader: a value or a tessera::Error is fine, everything
// else (a crash, a leak, another exception, seconds of work, gigabytes) is a finding.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace tessera::fuzz {

// A file in memory, for readers that want a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(memfd_create("fuzz", 0)) {
    if (descriptor_ < 0 || write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      std::abort();
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { close(descriptor_); }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

void read(std::string_view bytes);  // the target; may throw Error

}  // namespace tessera::fuzz

extern "C" int LLVMFuzzerTestOneInput(const tessera::u8* data, size_t size) {
  try {
    tessera::fuzz::read({reinterpret_cast<const char*>(data), size});
  } catch (const tessera::Error&) {
  }
  return 0;
}
