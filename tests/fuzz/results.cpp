// COCO results.
#include "data/coco.h"
#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  (void)load_results(file.path());
}
