#include "data/detection_list.h"

#include <algorithm>

namespace tessera {

std::span<const u32> RunStore::add(std::span<const u32> runs) {
  constexpr size_t kBlock = size_t{1} << 14;
  if (free_.size() < runs.size()) {
    const size_t size = std::max(kBlock, runs.size());
    blocks_.push_back(std::make_unique_for_overwrite<u32[]>(size));
    free_ = {blocks_.back().get(), size};
  }
  const std::span<u32> stored = free_.first(runs.size());
  std::copy(runs.begin(), runs.end(), stored.begin());
  free_ = free_.subspan(runs.size());
  return stored;
}

DetectionList::DetectionList(const std::vector<Detection>& detections) {
  detections_.reserve(detections.size());
  for (const Detection& d : detections) {
    detections_.push_back({d.image_id, d.category_id, d.score, d.bbox, std::nullopt});
    if (!d.segmentation) continue;
    try {
      check_rle(*d.segmentation);
    } catch (const Error& error) {
      fail("result {} (image {}): {}", detections_.size() - 1, d.image_id, error.what());
    }
    detections_.back().segmentation = RleView(*d.segmentation);
  }
}

}  // namespace tessera
