// Scoring results against annotations: what `tessera score` does with files, and training and `tessera eval` with what
// a model has just found.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/average_precision.h"
#include "eval/cityscapes_eval.h"
#include "eval/panoptic_quality.h"

namespace tessera {

struct ScoreRequest {
  std::filesystem::path annotations, results;  // a file each, or a folder where the metric's data set has folders
  // For metrics that take them:
  std::optional<double> ratio = {};  // thickness of a boundary over the image's diagonal
  bool coco_categories = false;      // LVIS annotations with COCO's categories (AP*)
  bool areas_from_boxes = false;     // the size of a mask that has a box in the results is the box's
  std::function<void(i64 done, i64 total)> progress = {};  // called by metrics that read pictures
};

struct Bar {
  std::string name;
  double value = 0;
};
struct BarChart {
  std::string title;
  std::vector<Bar> bars;
};

struct Score {
  std::string text;                                          // for the terminal
  std::string json;                                          // for a file
  std::vector<std::pair<std::string, double>> figures = {};  // for a log; the main one first, higher is better
  std::vector<BarChart> bars = {};                           // for a picture; of TIDE and Cityscapes
  std::optional<ApResult> ap = {};                           // with the curves; of COCO, LVIS and boundary metrics
};

struct Metric {
  enum Options : unsigned { kRatio = 1, kCocoCategories = 2, kAreasFromBoxes = 4 };
  enum Demands : unsigned { kMasks = 1, kBoxes = 2, kAreas = 4, kLvis = 8 };

  const char* name;
  const char* meaning;   // one line
  unsigned demands;      // of the annotations: masks, boxes and areas of all of them, LVIS's fields
  unsigned options = 0;  // of the request that it takes
  // One of the three: against annotations as COCO and LVIS have them, Cityscapes' folders, or panoptic files.
  Score (*score)(const CocoDataset& truth, const DetectionList& results, const ScoreRequest& request) = nullptr;
  Score (*score_cityscapes)(std::span<const CityscapesImage> truth, const CityscapesResults& results,
                            const ScoreRequest& request) = nullptr;
  Score (*score_panoptic)(const PanopticFile& truth, const PanopticResults& results,
                          const ScoreRequest& request) = nullptr;

  bool compares_masks() const { return (demands & kMasks) || score_cityscapes || score_panoptic; }
  // What logs call it: "segm", "lvis-segm"; COCO is not mentioned.
  std::string short_name() const;
  // The same one, or the one that tells of boxes what the other tells of masks.
  bool belongs_to(const Metric& other) const;
};

std::span<const Metric> metrics();  // all there are

// By its name or short name. An unknown one is an error that lists the known.
const Metric& find_metric(const std::string& name);

// Throws unless the annotations are of the kind that the metric is for: LVIS's, of a folder of Cityscapes, panoptic.
void check_kind(const Metric& metric, const CocoDataset& truth);

// An option that the metric does not take is an error.
Score score_results(const std::string& metric, const ScoreRequest& request);

// The same of results in memory. `truth` was read from the file or folder that it is named after; a Cityscapes folder
// and the PNGs of a panoptic file are read again, picture by picture, for what is no object in them. Panoptic results
// that share a pixel are an error.
Score score_detections(const Metric& metric, const CocoDataset& truth, const DetectionList& results);

}  // namespace tessera
