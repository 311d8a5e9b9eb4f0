// Overlaps (IoU) between detections and ground truths, in the exact arithmetic of the COCO tool.
//
// Regular ground truth g: |d and g| / |d or g|. Crowd region g: |d and g| / |d|, since a crowd may hold many objects.
#pragma once

#include <span>
#include <vector>

#include "data/rle.h"

namespace tessera {

double box_overlap(const XywhBox& detection, const XywhBox& truth, bool crowd);

// Run lists are compared directly, never bitmaps. 0 when the boxes of the masks do not overlap, else -1 when the sizes
// differ.
double mask_overlap(const Rle& detection, const Rle& truth, bool crowd);

// All pairs, row-major [detections, truths]; crowd has one flag per ground truth.
std::vector<double> box_overlaps(std::span<const XywhBox> detections, std::span<const XywhBox> truths,
                                 std::span<const u8> crowd);
std::vector<double> mask_overlaps(std::span<const Rle* const> detections, std::span<const Rle* const> truths,
                                  std::span<const u8> crowd);

}  // namespace tessera
