#include <doctest/doctest.h>

#include "data/rasterise.h"
#include "eval/average_precision.h"
#include "tests/support/check_error.h"

namespace tessera {
namespace {

// A square of 40 x 40 in an image of 100 x 100, where a boundary is 3 pixels thick: 40^2 - 34^2 = 444 pixels.
CocoDataset square() {
  CocoDataset dataset;
  dataset.images = {{1, "a", 100, 100}};
  dataset.categories = {{1, "thing"}};
  dataset.annotations = {{1, 1, 1, XywhBox{20, 20, 40, 40}, 1600, false, rasterise_box({20, 20, 40, 40}, 100, 100)}};
  index_coco(dataset);
  return dataset;
}

Detection found(double score, const XywhBox& box) {
  return {1, 1, score, std::nullopt, rasterise_box(box, 100, 100)};
}

TEST_CASE("boundary: the overlap is the lesser of those of the masks and of the boundaries") {
  // Moved by two pixels the masks overlap by 1520 / 1680. The boundaries share 1520 - 36 * 34 = 296 pixels of
  // 2 * 444 - 296 = 592: exactly one half, which only the first threshold accepts.
  const std::vector detections = {found(0.5, {22, 20, 40, 40})};
  const ApResult boundary = evaluate_coco(square(), detections, ApTask::kBoundary);
  CHECK(boundary.stats[0] == doctest::Approx(0.1));
  CHECK(boundary.stats[1] == doctest::Approx(1));
  CHECK(evaluate_coco(square(), detections, ApTask::kSegm).stats[0] == doctest::Approx(0.9));
  // One pixel thick they share 1520 - 38 * 38 = 76 of 236.
  CHECK(evaluate_coco(square(), detections, ApTask::kBoundary, {.boundary_ratio = 0.01}).stats[0] == 0);
  // Thicker than the object they are the masks.
  CHECK(evaluate_coco(square(), detections, ApTask::kBoundary, {.boundary_ratio = 0.5}).stats[0] ==
        doctest::Approx(0.9));
  CHECK_ERROR(evaluate_coco(square(), detections, ApTask::kBoundary, {.boundary_ratio = 2}), "ratio must be 0 to 1");
}

TEST_CASE("boundary: where the boundaries agree better than the masks, the masks decide") {
  // A hole of 28 x 28 leaves a frame of 816 pixels; five pixels thick the boundaries are 700 of the square's and all of
  // the frame's pixels. 700 / 816 is more than 0.85, but 816 / 1600 is 0.51.
  Tensor pixels = decode_rle(rasterise_box({20, 20, 40, 40}, 100, 100));
  const Tensor hole = decode_rle(rasterise_box({26, 26, 28, 28}, 100, 100));
  for (i64 i = 0; i < pixels.numel(); ++i) pixels.data<u8>()[i] &= !hole.data<u8>()[i];
  const std::vector detections = {Detection{1, 1, 0.5, std::nullopt, encode_rle(pixels)}};
  const ApResult result = evaluate_coco(square(), detections, ApTask::kBoundary, {.boundary_ratio = 0.035});
  CHECK(result.stats[0] == doctest::Approx(0.1));
}

TEST_CASE("boundary: a crowd is compared by its mask alone, and \"ignore\" is honoured") {
  CocoDataset dataset = square();
  dataset.annotations.push_back(
      {2, 1, 1, XywhBox{0, 60, 100, 40}, 4000, true, rasterise_box({0, 60, 100, 40}, 100, 100)});
  index_coco(dataset);
  const std::vector detections = {found(0.9, {40, 70, 10, 10}), found(0.5, {20, 20, 40, 40})};
  CHECK(evaluate_coco(dataset, detections, ApTask::kBoundary).stats[0] == doctest::Approx(1));
  dataset.annotations[1].iscrowd = false;  // now it is to be found, and the first detection is wrong
  CHECK(evaluate_coco(dataset, detections, ApTask::kBoundary).stats[0] < 0.3);
}

}  // namespace
}  // namespace tessera
