// COCO annotations: the JSON, and every mask in it.
#include "data/coco.h"

#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const MemoryFile file(bytes);
  const CocoDataset dataset = load_coco(file.path());
  for (size_t i = 0; i < dataset.annotations.size(); ++i) {
    const CocoAnnotation& annotation = dataset.annotations[i];
    const CocoImage& image = dataset.images.at(static_cast<size_t>(dataset.image_index.at(annotation.image_id)));
    try {
      check_mask(dataset, static_cast<i64>(i));
    } catch (const Error&) {
      continue;
    }
    if (image.height * image.width < 1'000'000) (void)rle_area(annotation_mask(annotation, image.height, image.width));
  }
}
