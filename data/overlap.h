// Overlaps (IoU) between detections and ground truths, in the exact arithmetic of the COCO tool.
//
// Regular ground truth g: |d and g| / |d or g|. Crowd region g: |d and g| / |d|, since a crowd may hold many objects.
#pragma once

#include <span>
#include <vector>

#include "data/rle.h"

namespace tessera {

double box_overlap(const XywhBox& detection, const XywhBox& truth, bool crowd);

// A mask made ready for many comparisons. It refers to the runs; assigned to again, it reuses its memory.
class PreparedMask {
 public:
  PreparedMask() = default;
  explicit PreparedMask(RleView rle) { assign(rle); }
  void assign(RleView rle);

 private:
  friend double mask_overlap(const PreparedMask&, const PreparedMask&, bool, double);

  RleView rle_;
  i64 area_ = 0;
  XywhBox box_{};
  bool canonical_ = true;  // no empty run but perhaps the first
  std::vector<u32> ends_;  // pixel index where each run ends
};

// Run lists are compared directly, never bitmaps. 0 when the boxes of the masks do not overlap, else -1 when the sizes
// differ. An overlap that areas and boxes already show to be less than `at_least` may come back as 0.
double mask_overlap(const PreparedMask& detection, const PreparedMask& truth, bool crowd, double at_least = 0);
double mask_overlap(RleView detection, RleView truth, bool crowd);

// All pairs, row-major [detections, truths]; crowd has one flag per ground truth.
std::vector<double> box_overlaps(std::span<const XywhBox> detections, std::span<const XywhBox> truths,
                                 std::span<const u8> crowd);
std::vector<double> mask_overlaps(std::span<const RleView> detections, std::span<const RleView> truths,
                                  std::span<const u8> crowd);

}  // namespace tessera
