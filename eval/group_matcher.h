// Overlaps and matches within one image and class.
#pragma once

#include "data/overlap.h"
#include "eval/accumulate.h"
#include "eval/placement.h"

namespace tessera {

// How many outcomes a group has.
inline size_t kept_detections(const Group& group, const ApRules& rules) {
  return std::min<size_t>(group.detection_end - group.detection_begin, rules.limits.back());
}

// One per thread: it uses its memory again from group to group.
class GroupMatcher {
 public:
  GroupMatcher(const CocoDataset& dataset, const DetectionList& detections, const Placement& placement, ApTask task,
               const ApOptions& options, const ApRules& rules)
      : dataset_(dataset),
        detections_(detections),
        placement_(placement),
        task_(task),
        options_(options),
        rules_(rules) {}

  // Keeps the best kept_detections() of the group and tells what becomes of them, by descending score.
  void match(const Group& group, std::span<ScoredOutcome> outcomes);

 private:
  struct Candidate {
    double score;
    size_t place;  // in placement_.detections
  };

  const DetectionView& detection(const Candidate& candidate) const {
    return detections_[placement_.detections[candidate.place].source];
  }
  void pair_boxes();
  void pair_masks(const CocoImage& image);

  const CocoDataset& dataset_;
  const DetectionList& detections_;
  const Placement& placement_;
  ApTask task_;
  const ApOptions& options_;
  const ApRules& rules_;

  // Of the group at hand.
  std::vector<Candidate> candidates_;
  std::vector<double> areas_;
  std::vector<MatchTruth> truths_;
  std::vector<const CocoAnnotation*> annotations_;
  std::vector<OverlapPair> pairs_;
  std::vector<MatchOutcome> matches_;
  PreparedMask prepared_;
};

}  // namespace tessera
