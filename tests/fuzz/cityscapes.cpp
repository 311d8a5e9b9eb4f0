// The two text files of Cityscapes: polygons, as JSON, and results.
#include "data/cityscapes.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  if (bytes.starts_with('{'))
    (void)load_cityscapes_polygons(file.path());
  else
    (void)load_cityscapes_results(file.path(), "/");
}
