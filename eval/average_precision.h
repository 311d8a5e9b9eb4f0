// Average precision and recall of boxes, masks and boundaries, digit for digit as the official tools: COCO
// (cocodataset/cocoapi), LVIS (lvis-dataset/lvis-api), Boundary IoU (bowenc0221/boundary-iou-api).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/detection_list.h"

namespace tessera {

enum class ApTask {
  kSegm,      // overlap of masks
  kBbox,      // overlap of boxes
  kBoundary,  // the lesser of the overlaps of the masks and of their boundaries
};
const char* name_of(ApTask task);  // "segm", "bbox", "boundary"

struct ApOptions {
  bool class_agnostic = false;  // COCO: all categories as one (proposals); the detections' categories must still exist
  bool areas_from_boxes = false;  // masks: the size of a detection is that of its box, as the official tools have it
                                  // for result files with boxes; else the area of its mask
  double boundary_ratio = 0.02;   // thickness of a boundary over the image's diagonal
  std::string results_name = "results";  // for messages
};

// What one of the figures is the mean of.
struct ApStat {
  const char* name;
  bool recall = false;
  int threshold = -1;  // position in kIouThresholds, -1: all
  int area = 0;        // all, small, medium, large
  int limit = 0;       // position in the rules' limits of detections
  char frequency = 0;  // only categories that are 'r'are, 'c'ommon or 'f'requent
};

struct ApCategory {
  i64 id = 0;          // -1 when class-agnostic
  std::string name;    // empty when class-agnostic
  char frequency = 0;  // LVIS: r, c or f
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1, ar = -1;  // -1: no such object
};

struct ApResult {
  ApTask task = ApTask::kSegm;
  bool lvis = false;
  std::vector<u32>
      limits;  // M: how many detections count, COCO's 1 10 100 per image and category, LVIS's 300 per image
  // T = 10 overlap thresholds, R = 101 recalls, K categories by ascending id, A = all small medium large. -1 where
  // there is no ground truth.
  std::vector<double> precision, scores;  // [T, R, K, A, M]
  std::vector<double> recall;             // [T, K, A, M]
  std::span<const ApStat> stat_rules;     // COCO's twelve or LVIS's thirteen figures,
  std::vector<double> stats;              // and their values
  std::vector<ApCategory> per_category;
  i64 images = 0, detections = 0;     // evaluated
  std::vector<std::string> warnings;  // what a user should know about the input
};

// Matches and accumulates all detections of all images. Detections of categories that the data set does not have are
// left out. Ties in score keep the order of `detections`. Without detections every category with ground truth counts 0.
// For boxes: a detection's box, or its mask's when the first detection has only a mask. For masks and boundaries: its
// mask, or its box as a mask when it has none.
// Errors: a score, box or area that is not finite, an unknown image, a mask whose size is not the image's, a detection
// or annotation without what the task needs. `dataset` must be indexed (data/coco.h). Runs on all OpenMP threads; the
// result does not depend on their number.
ApResult evaluate_coco(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                       const ApOptions& options = {});

// By the rules of LVIS: the 300 best detections of an image over all categories count, those of categories that were
// not looked for in the image are dropped, those of categories not marked completely are never wrong, there are no
// crowds, objects and detections of area 0 do not exist. Boundaries follow the Boundary IoU tool where it differs from
// the LVIS tool: crowds exist, the upper end of an area range does not belong to it. Errors also: categories without
// "frequency", images without "neg_category_ids" (for boundaries, if the first has none, nothing is dropped).
ApResult evaluate_lvis(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                       const ApOptions& options = {});

// The figures as a table of text lines.
std::string ap_table(const ApResult& result);

// {"segm": {"stats": {"AP": ...}, "per_category": [{"id", "name", "AP", ...}]}, ...}, one key per result, full
// precision. LVIS has "results" in place of "stats", as its tool says.
std::string ap_json(std::span<const ApResult> results);

}  // namespace tessera
