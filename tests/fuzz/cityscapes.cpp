// Result files of Cityscapes.
#include "data/cityscapes.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  (void)load_cityscapes_results(file.path(), "/");
}
