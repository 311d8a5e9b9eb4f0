// Which classes a detector takes for which, and how well it does in each picture, at one score and one overlap.
#pragma once

#include <vector>

#include "eval/average_precision.h"

namespace tessera {

struct ConfusionOptions {
  double score = 0.5;    // detections below it do not exist
  double overlap = 0.5;  // from this on a detection is on an object
};

// A detection of at least that score, and the object that it is on.
struct FoundPair {
  size_t detection;      // position in the list
  i64 annotation = -1;   // position in dataset.annotations; -1: on none
  double overlap = 0;    // with it
  bool ignored = false;  // on no object, but on a crowd region of its class
};

struct Confusion {
  i64 classes = 0;  // K: the data set's categories
  // [K + 1, K + 1]: how many objects of class (row) were found as class (column). Position K is the background: its row
  // has the detections that are on nothing, its column the objects that nothing is on.
  std::vector<i64> counts;
  std::vector<std::vector<FoundPair>> pairs;  // of each picture, by its position in dataset.images; the best first
  // Of each picture the sum of the overlaps of the objects that were found as what they are, over their number + half
  // of the other detections + half of the other objects: the panoptic quality, 0 to 1, all classes together. NaN where
  // nothing is annotated and nothing was found.
  std::vector<double> quality;

  i64 count(i64 annotated, i64 found) const { return counts[static_cast<size_t>(annotated * (classes + 1) + found)]; }
};

// Per picture the detections in order of descending score (of equals the first) take each the object that they overlap
// most, of whatever class, among those that are free and that they overlap by options.overlap or more; of equals the
// first. Crowd regions are no objects: a detection on nothing that has that part of its own pixels in one of its class
// is ignored. Detections of categories that the data set does not have are left out. task: kSegm or kBbox; a detection
// without the mask or the box that it compares has that of the other. Errors: as evaluate_coco, areas apart.
Confusion evaluate_confusion(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                             const ConfusionOptions& options = {});

}  // namespace tessera
