// What the mask heads share: features of RoIs, crops of masks, boundaries, and the way back to the picture.
#include <doctest/doctest.h>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/roi_heads/boundary.h"
#include "models/roi_heads/layers.h"
#include "models/roi_heads/picture_masks.h"
#include "models/roi_heads/roi_features.h"
#include "ops/arrange.h"
#include "ops/grid_sample.h"
#include "tests/models/small_rois.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace roi_heads;

namespace {

std::vector<i64> levels_of(const std::vector<float>& boxes) {
  const Tensor levels = roi_levels(Tensor::from(boxes, {static_cast<i64>(boxes.size()) / 4, 4}));
  return {levels.span<i64>().begin(), levels.span<i64>().end()};
}

Rois reordered(const Rois& rois, const Tensor& rows) {
  return {gather_rows(rois.boxes, rows), gather_rows(rois.queries, rows), ops::gather_rows(rois.image, rows),
          ops::gather_rows(rois.classes, rows)};
}

Rle resized(const Tensor& probabilities, const std::vector<float>& box, ImageSize padded, ImageSize in, ImageSize out) {
  return picture_masks(probabilities, Tensor::from(box, {1, 4}), padded, in, out).masks.at(0);
}

}  // namespace

TEST_CASE("roi heads: a box of 14 cells' width belongs to its level from that size on") {
  CHECK(levels_of({0, 0, 111, 111, 0, 0, 112, 112, 10, 10, 234, 234, 0, 0, 448, 448, 0, 0, 5000, 5000}) ==
        std::vector<i64>{0, 1, 2, 3, 3});
  CHECK(levels_of({0, 0, 56, 224, 0, 0, 1, 1}) == std::vector<i64>{1, 0});  // the geometric mean counts
  // Without an area, inverted, and so large that the area is beyond f32.
  CHECK(levels_of({5, 5, 5, 90, 90, 90, 10, 10, 90, 0, 10, 50, -1e30F, -1e30F, 1e30F, 1e30F}) ==
        std::vector<i64>{0, 0, 0, 3});
}

TEST_CASE("roi heads: features do not depend on the order of the RoIs, and reach the right maps") {
  const SmallRois s = small_rois(7, 8);
  const Tensor levels = roi_levels(s.rois.boxes.value());
  const Tensor features = roi_features(s.maps, s.rois, levels, 4).value();
  const Tensor rows = Tensor::from(std::vector<i64>{3, 6, 0, 5, 1, 4, 2});
  const Rois other = reordered(s.rois, rows);
  const Tensor moved = roi_features(s.maps, other, roi_levels(other.boxes.value()), 4).value();
  CHECK(same_bits(moved, ops::gather_rows(features, rows)));
  // A map that is constant gives its constant to the RoIs of its level, and to no other.
  std::vector<Var> constant;
  for (size_t l = 0; l < s.maps.size(); ++l)
    constant.emplace_back(Tensor::full(s.maps[l].shape(), static_cast<double>(l)));
  const Tensor centre = sample_levels(constant, levels, s.rois.image, Var(Tensor::full({7, 2}, 0.5))).value();
  for (i64 r = 0; r < 7; ++r) CHECK(centre.data<float>()[r * 8] == static_cast<float>(levels.data<i64>()[r]));
  CHECK_ERROR(roi_features({s.maps[0]}, s.rois, levels, 4), "1 maps were given, P2 to P5 are needed");
}

TEST_CASE("roi heads: points in boxes, with a gradient for the boxes") {
  const Var boxes(Tensor::from(std::vector<float>{10, 20, 30, 60, 0, 0, 64, 32}, {2, 4}), true);
  const Tensor at = Tensor::from(std::vector<float>{0.5, 0.25, 0, 1}, {2, 2});
  const Var points = points_in_boxes(boxes, Tensor::from(std::vector<i64>{0, 1}), at, {.height = 80, .width = 40});
  CHECK(points.value().data<float>()[0] == doctest::Approx(20.0 / 40));
  CHECK(points.value().data<float>()[1] == doctest::Approx(30.0 / 80));
  CHECK(points.value().data<float>()[2] == 0);
  CHECK(points.value().data<float>()[3] == doctest::Approx(32.0 / 80));
  sum(points).backward();
  const std::vector<float> wanted = {0.5F / 40, 0.75F / 80, 0.5F / 40, 0.25F / 80, 1.0F / 40, 0, 0, 1.0F / 80};
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(boxes.grad().span<float>()[i] == doctest::Approx(wanted[i]));
}

TEST_CASE("roi heads: a crop is the part of each cell in the object") {
  Tensor masks = Tensor::zeros({2, 8, 8, 1});
  for (i64 y = 0; y < 8; ++y)
    for (i64 x = 3; x < 8; ++x) masks.data<float>()[64 + y * 8 + x] = 1;  // of object 1: columns 3 and up
  const Tensor crop =
      crop_masks(masks, Tensor::from(std::vector<i64>{1}), Tensor::from(std::vector<float>{0, 0, 8, 8}, {1, 4}), 2);
  CHECK(crop.shape() == Shape{1, 2, 2, 1});
  CHECK(crop.data<float>()[0] == doctest::Approx(0.25));
  CHECK(crop.data<float>()[1] == doctest::Approx(1));
}

TEST_CASE("roi heads: a boundary lies on both sides of the edge and along the border") {
  Tensor mask = Tensor::zeros({1, 6, 6, 1});
  for (i64 y = 0; y < 6; ++y)
    for (i64 x = 0; x < 3; ++x) mask.data<float>()[y * 6 + x] = 1;
  const Tensor edge = boundary(mask, 1);
  const std::vector<std::string> wanted = {"111100", "101100", "101100", "101100", "101100", "111100"};
  for (i64 y = 0; y < 6; ++y)
    for (i64 x = 0; x < 6; ++x) {
      INFO(y, " ", x);
      CHECK(edge.data<float>()[y * 6 + x] ==
            static_cast<float>(wanted[static_cast<size_t>(y)][static_cast<size_t>(x)] - '0'));
    }
  // By two cells: beside the edge five of 25 cells around lie inside, one column further none.
  CHECK(boundary(mask, 2).data<float>()[2 * 6 + 4] == 1);
  CHECK(boundary(mask, 2).data<float>()[2 * 6 + 5] == 0);
}

TEST_CASE("roi heads: query fusion counts its parameters, and adds to the features") {
  Random random(3);
  QueryFusion fusion(256, random);
  CHECK(nn::count_parameters(fusion) == 65792 + 197120);
  Fcn fcn(256, 4, random);
  CHECK(nn::count_parameters(fcn) == 2360320);
  CHECK(nn::named_parameters(fcn)[2].first == "1.conv.weight");
  QueryFusion small(8, random);
  for (auto& [name, parameter] : nn::named_parameters(small))
    if (name.starts_with("fuse_qry.2")) parameter->value().fill(0);
  const Var x(random_tensor(random, {2, 3, 3, 8}, DType::kF32));
  CHECK(same_bits(small(x, Var(random_tensor(random, {2, 8}, DType::kF32))).value(), x.value()));
}

TEST_CASE("roi heads: a mask comes back to the picture, wider by what a bilinear resize of bytes gives it") {
  const Tensor full = Tensor::full({1, 4, 4}, 0.75);
  // 16 x 16 in a padded 24 x 20: the box's pixels, at the same size and without the padding.
  const Rle same = resized(full, {4, 4, 12, 8}, {20, 24}, {16, 16}, {16, 16});
  CHECK(rle_bbox(same) == XywhBox{4, 4, 8, 4});
  CHECK(rle_area(same) == 32);
  // Twice the size: every pixel that reads one of the mask is in it, one more at each side.
  const Rle twice = resized(full, {4, 4, 12, 8}, {20, 24}, {16, 16}, {32, 32});
  CHECK(rle_bbox(twice) == XywhBox{7, 7, 18, 10});
  // Half the size: the centres of pixels lie between those of two.
  CHECK(rle_bbox(resized(full, {4, 4, 12, 8}, {20, 24}, {16, 16}, {8, 8})) == XywhBox{2, 2, 4, 2});
  // What lies in the padding is cut off, but counts in the certainty.
  const PictureMasks cut =
      picture_masks(full, Tensor::from(std::vector<float>{12, 4, 20, 8}, {1, 4}), {20, 24}, {16, 16}, {16, 16});
  CHECK(rle_bbox(cut.masks[0]) == XywhBox{12, 4, 4, 4});
  CHECK(cut.certainty[0] > 0.6);
  CHECK(cut.certainty[0] < 0.75);
}

TEST_CASE("roi heads: boxes without area, outside and unsure masks give nothing") {
  const Tensor sure = Tensor::full({4, 4, 4}, 0.9);
  const Tensor boxes = Tensor::from(std::vector<float>{5, 5, 5, 9, 40, 40, 50, 50, -9, -9, -5, -5, 0, 0, 8, 8}, {4, 4});
  const PictureMasks found = picture_masks(sure, boxes, {16, 16}, {16, 16}, {20, 20});
  REQUIRE(found.masks.size() == 4);
  for (size_t r = 0; r < 3; ++r) {
    CHECK(rle_area(found.masks[r]) == 0);
    CHECK(found.certainty[r] == 0);
  }
  CHECK(rle_area(found.masks[3]) > 0);
  CHECK(picture_masks(Tensor::full({4, 4, 4}, 0.5), boxes, {16, 16}, {16, 16}, {20, 20}).certainty[3] == 0);
  CHECK(picture_masks(Tensor::zeros({0, 4, 4}), Tensor::zeros({0, 4}), {16, 16}, {16, 16}, {20, 20}).masks.empty());
}

TEST_CASE("roi heads: more masks than are made at once come in their order") {
  const i64 R = 19;
  Tensor boxes = Tensor::empty({R, 4});
  for (i64 r = 0; r < R; ++r)
    for (i64 c = 0; c < 4; ++c) boxes.data<float>()[4 * r + c] = static_cast<float>(c < 2 ? r : r + 3);
  const PictureMasks found = picture_masks(Tensor::full({R, 2, 2}, 1), boxes, {32, 32}, {32, 32}, {32, 32});
  for (i64 r = 0; r < R; ++r) CHECK(rle_bbox(found.masks[static_cast<size_t>(r)])[0] == static_cast<double>(r));
}

}  // namespace tessera::test
