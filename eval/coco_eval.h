// COCO average precision and recall for boxes and masks, digit for digit as the official tool (cocodataset/cocoapi).
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "data/coco.h"

namespace tessera {

enum class CocoTask { kSegm, kBbox };
const char* name_of(CocoTask task);  // "segm", "bbox"

struct CocoEvalOptions {
  bool class_agnostic = false;    // all categories as one (proposals); the detections' categories must still exist
  bool areas_from_boxes = false;  // masks: the size of a detection is that of its box, as the official tool has it for
                                  // result files with boxes; else the area of its mask
  std::string results_name = "results";  // for messages
};

inline constexpr std::array<const char*, 12> kCocoStatNames = {"AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                                               "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"};

struct CocoCategoryResult {
  i64 id = 0;        // -1 when class-agnostic
  std::string name;  // empty when class-agnostic
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1, ar100 = -1;  // -1: no such object
};

struct CocoEvalResult {
  CocoTask task = CocoTask::kSegm;
  // T = 10 overlap thresholds, R = 101 recalls, K categories by ascending id, A = all small medium large,
  // M = 1 10 100 detections per image and category. -1 where there is no ground truth.
  std::vector<double> precision, scores;  // [T, R, K, A, M]
  std::vector<double> recall;             // [T, K, A, M]
  std::array<double, 12> stats{};         // in the order of kCocoStatNames
  std::vector<CocoCategoryResult> per_category;
  i64 images = 0, detections = 0;     // evaluated
  std::vector<std::string> warnings;  // what a user should know about the input
};

// Matches and accumulates all detections of all images. Detections of categories that the data set does not have are
// left out. Ties in score keep the order of `detections`. Without detections every category with ground truth counts 0.
// For boxes: a detection's box, or its mask's when the first detection has only a mask. For masks: its mask, or its box
// as a mask when it has none.
// Errors: a score, box or area that is not finite, an unknown image, a mask whose size is not the image's, a detection
// or annotation without what the task needs. `dataset` must be indexed (data/coco.h). Runs on all OpenMP threads; the
// result does not depend on their number.
CocoEvalResult evaluate_coco(const CocoDataset& dataset, std::span<const Detection> detections, CocoTask task,
                             const CocoEvalOptions& options = {});

// The twelve figures as a table of text lines.
std::string coco_table(const CocoEvalResult& result);

// {"segm": {"stats": {"AP": ...}, "per_category": [{"id", "name", "AP", ...}]}, ...}, one key per result, full
// precision.
std::string coco_json(std::span<const CocoEvalResult> results);

}  // namespace tessera
