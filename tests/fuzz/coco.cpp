// COCO annotations: the JSON, and every mask in it.
#include "data/coco.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  const CocoDataset dataset = load_coco(file.path());
  for (const CocoAnnotation& annotation : dataset.annotations) {
    const CocoImage& image = dataset.images.at(static_cast<size_t>(dataset.image_index.at(annotation.image_id)));
    if (annotation.segmentation.index() != 0 && image.height * image.width < 1'000'000)
      (void)rle_area(annotation_mask(annotation, image.height, image.width));
  }
}
