// COCO results.
#include "data/detection_list.h"
#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  (void)load_detections(file.path());
}
