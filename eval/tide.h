// TIDE: which kinds of mistakes a detector makes, and what each kind costs (Bolya et al., "TIDE: a general toolbox for
// identifying object detection errors", ECCV 2020), figure for figure as the official tool (dbolya/tide).
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "eval/average_precision.h"

namespace tessera {

// Every wrong detection is a mistake of the first kind that fits it. An object is right to be found from an overlap of
// 0.5 on, and what overlaps it by 0.1 or less is beside it.
enum class TideError : u8 {
  kCls,   // on an object of another class (overlap >= 0.5)
  kLoc,   // on an object of its class, but badly placed (0.1 to 0.5)
  kBoth,  // none of the others: both class and place are wrong
  kDupe,  // on an object of its class that a better detection has found
  kBkg,   // on nothing: no object is overlapped by more than 0.1
  kMiss,  // an object that was not found and that no Cls or Loc mistake is on
};
inline constexpr size_t kTideErrors = 6;
inline constexpr std::array<const char*, kTideErrors> kTideErrorNames = {"Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"};

// All figures are points, 0 to 100.
struct TideResult {
  ApTask task = ApTask::kSegm;
  std::array<double, 10> ap_per_threshold{};         // at the overlaps 0.50, 0.55, ..., 0.95
  double ap = 0;                                     // their mean
  std::array<double, kTideErrors> dap{};             // by how much AP50 rises when all mistakes of one kind are mended
  double dap_false_pos = 0, dap_false_neg = 0;       // when no detection is wrong; when no object is missed
  std::array<std::vector<i64>, kTideErrors> errors;  // positions among the detections; for kMiss among the annotations
  i64 images = 0, detections = 0;
  double ap50() const { return ap_per_threshold[0]; }
};

// AP here is TIDE's: the best 100 detections of an image over all classes; a class with detections but no object counts
// as 0, also one that the data set does not list. Crowd regions are ignored. With LVIS annotations 300 detections of an
// image count, and those of a category that was not looked for in the image, or is not marked completely, are ignored
// where they find nothing. Boxes and masks are chosen, and wrong input is refused, as evaluate_coco does. Runs on all
// OpenMP threads; the result does not depend on their number.
TideResult evaluate_tide(const CocoDataset& dataset, const DetectionList& detections, ApTask task,
                         const std::string& results_name = "results");

std::string tide_table(const TideResult& result);

// {"segm": {"AP50", "AP_per_threshold", "AP_50_95", "main_dAP", "special_dAP", "counts", "error_index"}, ...}, one key
// per result, full precision.
std::string tide_json(std::span<const TideResult> results);

}  // namespace tessera
