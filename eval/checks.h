// What the evaluators of COCO files demand of their input.
#pragma once

#include "data/detection_list.h"
#include "eval/average_precision.h"

namespace tessera {

// Throws unless index_coco() has filled the data set's indices and every annotation has what the task compares, a box
// or a mask, and an area where objects are told apart by size.
void check_annotations(const CocoDataset& dataset, ApTask task, bool areas);

// The position in dataset.images of the image of detection i. Throws, naming `results_name` and i, when there is no
// such image, the score or the box is not finite, the mask's size is not the image's, or there is neither box nor mask.
i64 checked_image(const CocoDataset& dataset, const DetectionList& detections, i64 i, const std::string& results_name);

}  // namespace tessera
