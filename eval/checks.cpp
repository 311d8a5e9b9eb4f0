#include "eval/checks.h"

#include <algorithm>
#include <cmath>

namespace tessera {

void check_annotations(const CocoDataset& dataset, ApTask task, bool areas) {
  TESSERA_CHECK(
      dataset.image_index.size() == dataset.images.size() && dataset.annotations_of.size() == dataset.images.size(),
      "evaluate: {} is not indexed, call index_coco()", dataset.name);
  for (const CocoAnnotation& annotation : dataset.annotations) {
    TESSERA_CHECK(task == ApTask::kBbox || !std::holds_alternative<std::monostate>(annotation.segmentation),
                  "{}: annotation {}: it has no segmentation, masks cannot be evaluated", dataset.name, annotation.id);
    TESSERA_CHECK(task != ApTask::kBbox || annotation.bbox,
                  "{}: annotation {}: it has no bbox, boxes cannot be evaluated", dataset.name, annotation.id);
    TESSERA_CHECK(!areas || annotation.area, "{}: annotation {}: it has no area, which says if it is small or large",
                  dataset.name, annotation.id);
  }
}

i64 checked_image(const CocoDataset& dataset, const DetectionList& detections, i64 i, const std::string& results_name) {
  const auto& [image_id, category_id, score, box, mask] = detections[static_cast<size_t>(i)];
  const auto found = dataset.image_index.find(image_id);
  TESSERA_CHECK(found != dataset.image_index.end(), "{}: result {}: there is no image {} in {}", results_name, i,
                image_id, dataset.name);
  const CocoImage& image = dataset.images[static_cast<size_t>(found->second)];
  TESSERA_CHECK(std::isfinite(score), "{}: result {} (image {}): its score is {}", results_name, i, image_id, score);
  TESSERA_CHECK(!box || std::ranges::all_of(*box, [](double v) { return std::isfinite(v); }),
                "{}: result {} (image {}): its box is not finite", results_name, i, image_id);
  TESSERA_CHECK(!mask || (mask->height == image.height && mask->width == image.width),
                "{}: result {} (image {}): its mask is {} x {} (height x width), the image {} x {}", results_name, i,
                image_id, mask->height, mask->width, image.height, image.width);
  TESSERA_CHECK(box || mask, "{}: result {} (image {}): it has neither a box nor a mask", results_name, i, image_id);
  return found->second;
}

}  // namespace tessera
