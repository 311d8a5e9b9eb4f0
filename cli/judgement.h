// A model's detections in pictures of a data set, judged: what a report shows beside the figures of the log.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/panels.h"
#include "eval/confusion.h"
#include "eval/tide.h"
#include "train/evaluate.h"
#include "train/loaded_model.h"

namespace tessera {

struct Judgement {
  CocoDataset set;               // the pictures that were judged, and what is annotated in them
  std::filesystem::path folder;  // of the pictures
  std::vector<Detection> found;
  ApTask task = ApTask::kSegm;     // what is compared
  std::vector<ApResult> averages;  // of masks and boxes, as far as both have them
  double score = 0;
  Confusion confusion;  // from `score` on
  Confusion pairs;      // from kLeastScore on, for the colours of what is drawn
  TideResult tide;
  std::vector<std::string> left_out;  // pictures that cannot be read, and why
};

inline constexpr double kLeastScore = 0.05;  // of what is drawn

// So many positions, spread over `count` pictures; most 0: all.
std::vector<i64> spread(i64 count, i64 most);

// Detects in the pictures at these positions of the model's validation set and compares as its evaluation.metric does,
// or, where that is none of AP, as COCO. score: of the confusion matrix. Pictures that cannot be opened are left out.
Judgement judge(const LoadedModel& loaded, const CocoDataset& set, std::span<const i64> positions, double score);

// The panels of a picture, by its position in judgement.set: what is annotated, and what was found; who: by whom.
Panel annotated_panel(const Judgement& judgement, i64 picture);
Panel found_panel(const Judgement& judgement, i64 picture, const std::string& who);

}  // namespace tessera
