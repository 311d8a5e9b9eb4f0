// JPEG and PNG. A PNG's chunks end with a checksum that random changes break: the mutator puts it right again, so that
// what lies behind the checksum is reached.
#include "data/image.h"

#include <cstring>

#include "tests/fuzz/fuzz.h"

using tessera::u32;
using tessera::u8;

namespace {

u32 crc32(const u8* data, size_t size) {
  u32 crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

void repair_checksums(u8* data, size_t size) {
  for (size_t at = 8; size >= 12 && at <= size - 12;) {
    u32 length, crc;
    std::memcpy(&length, data + at, 4);
    length = __builtin_bswap32(length);
    if (length > size - at - 12) return;
    crc = __builtin_bswap32(crc32(data + at + 4, length + 4));
    std::memcpy(data + at + 8 + length, &crc, 4);
    at += 12 + size_t{length};
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(u8* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(u8* data, size_t size, size_t max_size, unsigned) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size >= 8 && std::memcmp(data, "\x89PNG", 4) == 0) repair_checksums(data, size);
  return size;
}

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  const ImageSize size = image_size(file.path());
  if (size.height * size.width > 1 << 20) return;  // the time is in proportion to the pixels
  const Tensor image = decode_image(bytes, "x");
  if (size != ImageSize{image.dim(0), image.dim(1)}) std::abort();
}
