// What COCO, LVIS and their boundary variants do differently: data for the one evaluation in average_precision.cpp.
#pragma once

#include "eval/average_precision.h"
#include "eval/match.h"

namespace tessera {

struct ApRules {
  std::span<const u32> limits;    // how many detections of an image and class count; ascending, the last are kept
  std::span<const ApStat> stats;  // the figures
  AreaRanges areas = kAreaRanges;
  bool crowds = true;         // "iscrowd" marks a region that may be found any number of times and need not be found
  bool ignore_field = false;  // "ignore" marks an object that need not be found
  // LVIS: objects and detections without area do not exist; the last of `limits` is one of the image over all classes;
  bool lvis = false;
  bool federated = false;  // and detections count only where their class was looked for
};

inline MatchTruth match_truth(const CocoAnnotation& annotation, const ApRules& rules) {
  const bool crowd = rules.crowds && annotation.iscrowd;
  return {annotation.id, *annotation.area, crowd || (rules.ignore_field && annotation.ignore), crowd};
}

ApRules coco_rules(ApTask task);
ApRules lvis_rules(ApTask task, const CocoDataset& dataset);  // throws when the data set lacks what they need

}  // namespace tessera
