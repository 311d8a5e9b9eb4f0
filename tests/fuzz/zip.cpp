#include "tensor/zip.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  size_t total = 0;
  for (const ZipEntry& entry : read_zip(bytes, "x.zip")) total += entry.bytes.empty() ? 0 : entry.bytes.back() & 1;
  (void)total;
}
