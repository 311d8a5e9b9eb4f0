// What the evaluators of COCO files demand of their input.
#pragma once

#include "data/detection_list.h"
#include "eval/average_precision.h"

namespace tessera {

// Throws unless index_coco() has filled the data set's indices and every annotation has what the task compares, a box
// or a mask, and an area where objects are told apart by size.
void check_annotations(const CocoDataset& dataset, ApTask task, bool areas);

// The position in dataset.images of the image of detection i. Throws, naming `results_name` and i, when there is no
// such image, the score is not finite, or the box or mask that the task takes (its own; without it, the other) is not
// usable: a box that is not finite, a mask that is none or has not the size of its image.
i64 checked_image(const CocoDataset& dataset, const DetectionList& detections, i64 i, ApTask task,
                  const std::string& results_name);

// What is wrong with the box of a detection that is not finite.
inline constexpr const char* kBoxExpected = "its \"bbox\" is not [x, y, width, height] in finite numbers";

}  // namespace tessera
