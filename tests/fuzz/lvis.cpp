// LVIS annotations: the lists of their images, and the same data set with COCO's categories.
#include "data/lvis.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  const CocoDataset dataset = load_coco(file.path());
  if (is_lvis(dataset)) (void)with_coco_categories(dataset);
}
