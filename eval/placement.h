// Which annotations and detections are to be compared with each other.
#pragma once

#include <set>

#include "eval/rules.h"

namespace tessera {

// An annotation or detection, placed: its class, and its image by ascending id.
struct PlacedItem {
  u32 cls, image;
  u32 source;  // position in the data set or in the detections
};

// All that is in one image and class; [begin, end) of the placed items.
struct Group {
  u32 cls, image;
  size_t truth_begin, truth_end, detection_begin, detection_end;
  bool lenient;  // LVIS: not all objects of the class are marked in the image
};

struct Placement {
  size_t classes = 0;        // 1 when class-agnostic
  bool box_results = false;  // the first detection has a box: it decides for all, as in the official tools
  std::vector<PlacedItem> truths, detections;  // by class, then image, else in the given order
  std::vector<double> areas;                   // of the detections given, by position
  std::vector<Group> groups;                   // by class, then image
  i64 strangers = 0;                           // detections of categories that the annotations do not have,
  std::set<i64> strange_categories;            // and these
};

// Checks the detections and places them beside the annotations, dropping what the rules do not count.
Placement place(const CocoDataset& dataset, const DetectionList& detections, ApTask task, const ApOptions& options,
                const ApRules& rules);

}  // namespace tessera
