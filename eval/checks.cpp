#include "eval/checks.h"

#include <cmath>

namespace tessera {

void check_annotations(const CocoDataset& dataset, ApTask task, bool areas) {
  TESSERA_CHECK(
      dataset.image_index.size() == dataset.images.size() && dataset.annotations_of.size() == dataset.images.size(),
      "evaluate: {} is not indexed, call index_coco()", dataset.name);
  for (i64 i = 0; i < static_cast<i64>(dataset.annotations.size()); ++i) {
    const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(i)];
    if (task != ApTask::kBbox) check_mask(dataset, i);
    TESSERA_CHECK(task != ApTask::kBbox || annotation.bbox,
                  "{}: to compare boxes a \"bbox\" is needed, [x, y, width, height] in finite numbers",
                  annotation_place(dataset, i));
    TESSERA_CHECK(!areas || annotation.area,
                  "{}: an \"area\" is needed, a finite number: it says whether the object is small, medium or large",
                  annotation_place(dataset, i));
  }
}

i64 checked_image(const CocoDataset& dataset, const DetectionList& detections, i64 i, ApTask task,
                  const std::string& results_name) {
  const auto& [image_id, category_id, score, box, mask, bad_mask] = detections[static_cast<size_t>(i)];
  const auto found = dataset.image_index.find(image_id);
  TESSERA_CHECK(found != dataset.image_index.end(), "{}: result {}: there is no image {} in {}", results_name, i,
                image_id, dataset.name);
  const CocoImage& image = dataset.images[static_cast<size_t>(found->second)];
  const bool boxes = task == ApTask::kBbox;
  TESSERA_CHECK(std::isfinite(score), "{}: result {} (image {}): its score is {}", results_name, i, image_id, score);
  TESSERA_CHECK(box || mask, "{}: result {} (image {}): it has neither a box nor a mask", results_name, i, image_id);
  TESSERA_CHECK(boxes || bad_mask.empty(), "{}: result {} (image {}): {}", results_name, i, image_id, bad_mask);
  TESSERA_CHECK(!box || (mask && !boxes) || is_finite(*box), "{}: result {} (image {}): {}", results_name, i, image_id,
                kBoxExpected);
  TESSERA_CHECK(
      !mask || (box && boxes) || !image.has_size() || (mask->height == image.height && mask->width == image.width),
      "{}: result {} (image {}): its mask is {} x {} (height x width), the image {} x {}", results_name, i, image_id,
      mask->height, mask->width, image.height, image.width);
  TESSERA_CHECK(
      boxes || mask || image.has_size(),
      "{}: result {} (image {}): to make a mask of its box, \"height\" and \"width\" of the image are needed in {}",
      results_name, i, image_id, dataset.name);
  return found->second;
}

}  // namespace tessera
