#include "eval/group_matcher.h"

#include <algorithm>
#include <tuple>

#include "data/boundary.h"
#include "data/rasterise.h"

namespace tessera {

namespace {

constexpr double kLeast = kIouThresholds[0];  // overlaps below it never matter

// A boundary and its mask ready for comparison; made when first asked for.
class LazyBoundary {
 public:
  LazyBoundary(RleView mask, i64 distance) : mask_(mask), distance_(distance) {}
  const PreparedMask& get() {
    if (runs_.counts.empty()) {
      runs_ = boundary_of(mask_, distance_);
      prepared_.assign(runs_);
    }
    return prepared_;
  }

 private:
  RleView mask_;
  i64 distance_;
  Rle runs_;
  PreparedMask prepared_;
};

}  // namespace

void GroupMatcher::match(const Group& group, std::span<ScoredOutcome> outcomes) {
  if (outcomes.empty()) return;
  candidates_.clear();
  for (size_t d = group.detection_begin; d < group.detection_end; ++d)
    candidates_.push_back({detections_[placement_.detections[d].source].score, d});
  if (candidates_.size() > 1) {  // ties keep the given order
    std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
      return a.score != b.score ? a.score > b.score : a.place < b.place;
    });
  }
  candidates_.resize(outcomes.size());
  areas_.clear();
  for (const Candidate& candidate : candidates_)
    areas_.push_back(placement_.areas[placement_.detections[candidate.place].source]);

  truths_.clear();
  annotations_.clear();
  for (size_t t = group.truth_begin; t < group.truth_end; ++t) {
    annotations_.push_back(&dataset_.annotations[placement_.truths[t].source]);
    truths_.push_back(match_truth(*annotations_.back(), rules_));
  }
  pairs_.clear();
  if (!truths_.empty()) {
    if (task_ == ApTask::kBbox)
      pair_boxes();
    else
      pair_masks(dataset_.images[dataset_.image_index.at(annotations_[0]->image_id)]);
  }
  matches_.resize(outcomes.size());
  match_detections(areas_, truths_, pairs_, rules_.areas, group.lenient, matches_);
  for (size_t d = 0; d < outcomes.size(); ++d) outcomes[d] = {candidates_[d].score, static_cast<u32>(d), matches_[d]};
}

void GroupMatcher::pair_boxes() {
  for (u32 d = 0; d < candidates_.size(); ++d) {
    const DetectionView& found = detection(candidates_[d]);
    const XywhBox box = found.bbox ? *found.bbox : rle_bbox(*found.segmentation);
    for (u32 g = 0; g < truths_.size(); ++g) {
      const double overlap = box_overlap(box, *annotations_[g]->bbox, truths_[g].crowd);
      if (overlap >= kLeast) pairs_.push_back({d, g, overlap});
    }
  }
}

// The lesser of two overlaps is at least kLeast only if that of the masks is: few boundaries need to be made.
void GroupMatcher::pair_masks(const CocoImage& image) {
  const bool boundaries = task_ == ApTask::kBoundary;
  std::vector<Rle> truth_masks;
  std::vector<PreparedMask> prepared_truths;
  std::vector<LazyBoundary> truth_boundaries;
  truth_masks.reserve(truths_.size());  // the other two point into it
  for (const CocoAnnotation* annotation : annotations_)
    truth_masks.push_back(annotation_mask(*annotation, image.height, image.width));
  const auto [height, width] = std::tie(truth_masks[0].height, truth_masks[0].width);  // the image may have no size
  const i64 distance = boundaries ? boundary_distance(height, width, options_.boundary_ratio) : 0;
  for (const Rle& mask : truth_masks) {
    prepared_truths.emplace_back(mask);
    truth_boundaries.emplace_back(mask, distance);
  }
  Rle made;
  for (u32 d = 0; d < candidates_.size(); ++d) {
    const DetectionView& found = detection(candidates_[d]);
    if (!found.segmentation) made = rasterise_box(*found.bbox, image.height, image.width);
    const RleView mask = found.segmentation ? *found.segmentation : RleView(made);
    prepared_.assign(mask);
    LazyBoundary boundary(mask, distance);
    for (u32 g = 0; g < truths_.size(); ++g) {
      double overlap = mask_overlap(prepared_, prepared_truths[g], truths_[g].crowd, kLeast);
      if (boundaries && !truths_[g].crowd && overlap >= kLeast)
        overlap = std::min(overlap, mask_overlap(boundary.get(), truth_boundaries[g].get(), false, kLeast));
      if (overlap >= kLeast) pairs_.push_back({d, g, overlap});
    }
  }
}

}  // namespace tessera
