// A model's figures on a data set.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/score.h"
#include "models/segmenter.h"
#include "train/communicator.h"
#include "train/log.h"
#include "train/sources.h"

namespace tessera {

// The annotations (their ids) without what a task compares: a mask, or a box.
Tally lacking(const CocoDataset& truth, ApTask task);

// Under this name the losses on the validation set stand among the scores of a log: evaluation.loss.
inline constexpr const char* kValidationLoss = "val";

struct Evaluation {
  std::vector<std::pair<const Metric*, Score>> scores;
  std::vector<Detection> detections;  // as they are written to a file, category ids of the data set
  double seconds = 0;                 // of loading and detecting
  Figures losses = {};                // with evaluation.loss: "loss", their sum, and the terms
};

// An object as an entry of a result file: its mask where it has one, its box and its score.
Detection to_detection(const Instance& instance, i64 image_id, const std::vector<i64>& category_ids);

// Throws where the metric judges segments and the network finds none.
void check_segments(const Segmenter& model, const Metric& metric);

// Detects in every picture of `images` (data set `truth`) and scores what it finds by config.evaluation.metric and by
// the metric that tells of boxes what this one tells of masks, or the other way round, as far as the model and the
// annotations have what they compare; where nothing can be told, that is an error. Boxes are ranked by their own
// scores. The model is used in evaluation mode without gradients and left in the mode it was in. category_ids: of the
// model's classes, by index. Of several processes each detects in its share of the pictures; the first one has the
// figures, to the last bit those of one process, and the others have none. Nothing when a signal asked to stop
// (train/signals.h).
//
// config.evaluation.loss: also the losses, for which `images` have targets (inference_source). They are computed in
// evaluation mode, too: running statistics, nothing dropped; what a model draws at random it draws alike at every
// evaluation, as after the first epoch. They are those of the whole set as one batch: each batch weighs by its
// normalisers (Segmenter), or, where a model has none, by its pictures, times training.batch_size. The model must not
// be fused for inference.
std::optional<Evaluation> evaluate(Segmenter& model, const std::vector<i64>& category_ids, const CocoDataset& truth,
                                   const std::shared_ptr<const SampleSource>& images, const Config& config,
                                   bool quiet = false, Communicator& communicator = single_process());

}  // namespace tessera
