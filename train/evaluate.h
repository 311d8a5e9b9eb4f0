// A model's COCO figures on a data set.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/coco_source.h"
#include "eval/average_precision.h"
#include "models/segmenter.h"
#include "train/config.h"

namespace tessera {

// The annotations (their ids) without what a task compares: a mask, or a box.
Tally lacking(const CocoDataset& truth, ApTask task);

struct Evaluation {
  std::vector<ApResult> figures;      // of masks, of boxes; not of a task that some annotation lacks
  std::vector<Detection> detections;  // as they are written to a file, category ids of the data set
  double seconds = 0;                 // of loading and detecting
};

// An object as an entry of a result file: its mask where it has one, its box and its score.
Detection to_detection(const Instance& instance, i64 image_id, const std::vector<i64>& category_ids);

// Detects in every picture of `images` (data set `truth`) and scores masks, where the model has them, and boxes by the
// scores of the boxes, as far as all of them are annotated; where neither is, that is an error. The model is used in
// evaluation mode without gradients and left in the mode it was in. category_ids: of the model's classes, by index.
// Nothing when a signal asked to stop (train/signals.h).
std::optional<Evaluation> evaluate(Segmenter& model, const std::vector<i64>& category_ids, const CocoDataset& truth,
                                   const std::shared_ptr<const SampleSource>& images, const Config& config,
                                   bool quiet = false);

// The pictures of a data set as evaluation and prediction see them: resized as [input] says, without targets.
std::shared_ptr<const CocoSource> inference_source(const std::shared_ptr<const CocoDataset>& dataset,
                                                   const std::filesystem::path& images, const Config& config);

}  // namespace tessera
