// Detections by the hundred thousand, as evaluators read them.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

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
  std::optional<XywhBox> bbox;  // NaN where the file gives one that is no [x, y, width, height] in finite numbers
  std::optional<RleView> segmentation;
  std::string_view bad_mask = {};  // why there is no mask, where the file gives a segmentation
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
  std::vector<std::deque<std::string>> reasons_;  // behind bad_mask; a deque's elements never move
};

// Reads a result file (data/coco.h) on all threads. Every detection has a box or a mask; what only one of the two kinds
// of metrics needs is judged by the evaluator: a mask beside a box may be anything.
DetectionList load_detections(const std::filesystem::path& path);

}  // namespace tessera
