// COCO panoptic annotations: the JSON.
#include "data/panoptic.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  (void)load_panoptic(file.path());
}
