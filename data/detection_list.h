// Detections by the hundred thousand, as evaluators read them.
#pragma once

#include <memory>

#include "data/coco.h"

namespace tessera {

// Runs of many masks, in blocks that never move.
class RunStore {
 public:
  std::span<const u32> add(std::span<const u32> runs);

 private:
  std::vector<std::unique_ptr<u32[]>> blocks_;
  std::span<u32> free_;  // of the last block
};

// A detection whose mask lies elsewhere.
struct DetectionView {
  i64 image_id = 0, category_id = 0;
  double score = 0;
  std::optional<XywhBox> bbox;
  std::optional<RleView> segmentation;
};

// The runs of every mask add up to its size: the list is made of checked masks only.
class DetectionList {
 public:
  DetectionList() = default;
  DetectionList(const std::vector<Detection>& detections);  // refers to their masks; throws when one is not possible

  size_t size() const { return detections_.size(); }
  bool empty() const { return detections_.empty(); }
  const DetectionView& operator[](size_t i) const { return detections_[i]; }
  auto begin() const { return detections_.begin(); }
  auto end() const { return detections_.end(); }

 private:
  friend DetectionList load_detections(const std::filesystem::path& path);

  std::vector<DetectionView> detections_;
  std::vector<RunStore> runs_;
};

// Reads a result file (data/coco.h) on all threads.
DetectionList load_detections(const std::filesystem::path& path);

}  // namespace tessera
