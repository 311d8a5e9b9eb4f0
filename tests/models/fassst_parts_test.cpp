// The parts of FASSST: boxes, cells, layers that fit a grid, regions, losses, predictions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/fassst/boxes.h"
#include "models/fassst/criterion.h"
#include "models/fassst/inference.h"
#include "tests/models/tiny_fassst.h"

using namespace tessera;
using namespace tessera::fassst;

namespace {

using Box = std::array<float, 4>;

std::vector<float> values(const Tensor& x) {
  const Tensor host = x.to_host();
  return {host.span<float>().begin(), host.span<float>().end()};
}

double logit(double p) {
  return std::log(p / (1 - p));
}

// What cell (i, j) of a grid must say to predict a box.
std::array<float, 4> encode(const Box& box, i64 i, i64 j, ImageSize grid) {
  const auto along = [](float low, float high, i64 cell, i64 count) {
    const double n = static_cast<double>(count), centre = (double{low} + double{high}) / 2 * n;
    return std::pair{static_cast<float>(logit((centre - static_cast<double>(cell) + 1) / 3)),
                     static_cast<float>(std::log((double{high} - double{low}) * n))};
  };
  const auto [y, h] = along(box[0], box[2], i, grid.height);
  const auto [x, w] = along(box[1], box[3], j, grid.width);
  return {y, x, h, w};
}

}  // namespace

TEST_CASE("fassst: decoding a cell's encoding of a box gives the box, up to a cell outside of the cell") {
  const ImageSize grid{4, 5};
  for (const Box& box : {Box{0.1F, 0.2F, 0.3F, 0.9F}, Box{0.26F, 0.21F, 0.27F, 0.24F}, Box{0.4F, 0, 0.58F, 0.2F}}) {
    Tensor raw = Tensor::zeros({1, 4, 5, 6});
    const std::array<float, 4> code = encode(box, 1, 1, grid);
    std::ranges::copy(code, raw.data<float>() + (1 * 5 + 1) * 6);
    const std::vector<float> got = values(decode(Var(raw), BoxForm::kCentre).value().rows(6, 7));
    for (size_t k = 0; k < 4; ++k) CHECK(got[k] == doctest::Approx(box[k]).epsilon(1e-4).scale(1));
  }
}

TEST_CASE("fassst: a box larger than e^3 cells, or smaller than e^-6, gives its side no gradient") {
  for (const float side : {-7.0F, -5.0F, 2.0F, 4.0F}) {
    Tensor raw = Tensor::zeros({1, 1, 1, 6});
    raw.data<float>()[2] = side;
    const Var leaf(raw, true);
    sum(decode(leaf, BoxForm::kCentre) * Var(Tensor::from(std::vector<float>{1, 2, 3, 4}))).backward();
    CHECK((leaf.grad().data<float>()[2] != 0) == (side > -6 && side < 3));
    CHECK(leaf.grad().data<float>()[0] != 0);
  }
}

TEST_CASE("fassst: edges are put in order, and boxes cut to the frame") {
  const Tensor raw = Tensor::from(std::vector<float>{2, -1, -2, 1, 0, 0}, {1, 1, 1, 6});
  const std::vector<float> box = values(decode(Var(raw), BoxForm::kEdges).value());
  CHECK(box[0] == doctest::Approx(1 / (1 + std::exp(2.0))));
  CHECK(box[2] == doctest::Approx(1 / (1 + std::exp(-2.0))));
  CHECK(box[1] < box[3]);
  CHECK(values(cut_to_frame(Tensor::from(std::vector<float>{-1, 0.5F, 2, 1}, {1, 4}))) ==
        std::vector<float>{0, 0.5F, 1, 1});
  CHECK(values(regions(Tensor::from(std::vector<i64>{3}),
                       Tensor::from(std::vector<float>{0.25F, 0.5F, 0.5F, 1}, {1, 4}), {100, 10})) ==
        std::vector<float>{3, 5, 25, 10, 50});
}

TEST_CASE("fassst: the fitted layer's kernel, stride and padding for every grid") {
  const auto check = [](i64 side, i64 grid, i64 kernel, i64 stride, i64 padding) {
    CAPTURE(side);
    CAPTURE(grid);
    const std::optional<FittedAxis> fitted = fit_axis(side, grid);
    REQUIRE(fitted);
    CHECK(fitted->kernel == kernel);
    CHECK(fitted->stride == stride);
    CHECK(fitted->padding == padding);
    CHECK((side + 2 * padding - kernel) / stride + 1 == grid);
  };
  check(13, 4, 4, 3, 0), check(13, 5, 5, 2, 0), check(13, 6, 3, 2, 0), check(13, 7, 3, 2, 1), check(13, 8, 6, 1, 0);
  check(13, 9, 5, 1, 0), check(13, 12, 2, 1, 0), check(13, 13, 3, 1, 1);
  check(24, 4, 6, 6, 0), check(24, 6, 4, 4, 0), check(24, 7, 6, 3, 0), check(24, 8, 3, 3, 0), check(16, 5, 4, 3, 0);
  CHECK(!fit_axis(13, 14));
  CHECK(!fit_axis(26, 15));  // a kernel of 12
}

TEST_CASE("fassst: the attention module reaches stride 32 from every head depth, and stays at 16 for a finer grid") {
  const auto strides = [](i64 stride, i64 grid, size_t hidden = 8) {
    AttentionConfig config{.grid = {grid, grid}};
    config.widths.resize(hidden, 8);
    return plan_attention(config, {64, stride}, {416, 416});
  };
  CHECK(strides(16, 6).strides == std::vector<i64>{1, 1, 1, 2, 1, 1});
  CHECK(strides(8, 6).strides == std::vector<i64>{2, 1, 1, 2, 1, 1});
  CHECK(strides(4, 6).strides == std::vector<i64>{2, 2, 1, 2, 1, 1});
  CHECK(strides(32, 6).strides == std::vector<i64>{1, 1, 1, 1, 1, 1});
  CHECK(strides(16, 6, 6).strides == std::vector<i64>{1, 1, 2, 1});
  CHECK(strides(16, 6, 10).strides == std::vector<i64>{1, 1, 1, 1, 2, 1, 1, 1});
  CHECK(strides(16, 16).strides == std::vector<i64>{1, 1, 1, 1, 1, 1});
  CHECK(strides(16, 16).side == ImageSize{26, 26});
  CHECK(strides(8, 13).side == ImageSize{13, 13});
}

TEST_CASE("fassst: regions are fused as the paper says") {
  const auto features = [](double a, double b, double c) {
    return std::vector<Var>{Var(Tensor::full({1, 4, 4, 2}, a)), Var(Tensor::full({1, 2, 2, 2}, b)),
                            Var(Tensor::full({1, 1, 1, 2}, c))};
  };
  for (const float x : values(fuse_regions(features(1, 2, 3)).value())) CHECK(x == 6);
  for (const float x : values(fuse_regions(features(-1, -1, -1)).value())) CHECK(x == 0);
  for (const float x : values(fuse_regions({features(1, 2, 3)[0]}).value())) CHECK(x == 1);
}

TEST_CASE("fassst: cells that learn nothing are left out where their box is an object's, of their own picture") {
  Assignment all{.boxes = {{0, 0, 0.5F, 0.5F}}, .picture = {0}, .classes = {0}, .cell = {0}, .object = {0}};
  Config config;
  config.attention.grid = {1, 2};
  const CellTargets targets = cell_targets(all, 2, config, {});
  const Tensor boxes = Tensor::from(std::vector<float>{0, 0, 0.5F, 0.5F, 0, 0, 0.5F, 0.4F,  //
                                                       0, 0, 0.5F, 0.5F, 0, 0, 0.1F, 0.1F},
                                    {4, 4});
  CHECK(values(counted_cells(boxes, targets)) == std::vector<float>{1, 0, 1, 1});
}

TEST_CASE("fassst: masks are learned in shifted true boxes, or in the predicted ones that are good") {
  const Tensor boxes = Tensor::from(std::vector<float>{0.2F, 0.2F, 0.6F, 0.4F, 0.5F, 0, 1, 1}, {2, 4});
  const RegionTargets drawn{.positive = Tensor::from(std::vector<i64>{1, 0}),
                            .object = {},
                            .picture = {},
                            .boxes = boxes,
                            .shift = Tensor::from(std::vector<float>{0.1F, 0, 0, -0.1F, 0, -0.1F, 0.1F, 0}, {2, 4})};
  const std::vector<float> shifted = values(training_boxes(drawn, Tensor()));
  const std::vector<float> expected = {0.24F, 0.2F, 0.6F, 0.38F, 0.5F, 0, 1, 1};
  for (size_t k = 0; k < 8; ++k) CHECK(shifted[k] == doctest::Approx(expected[k]));
  // Of the positives: the first is far from the second region, the second is near the first one.
  const Tensor predicted = Tensor::from(std::vector<float>{0, 0, 0.1F, 0.1F, 0.2F, 0.2F, 0.5F, 0.4F}, {2, 4});
  const std::vector<float> chosen = values(training_boxes(drawn, predicted));
  CHECK(chosen[2] == 0.5F);
  CHECK(chosen[0] == doctest::Approx(0.2));
  CHECK(chosen[4] == doctest::Approx(0.5));
}

TEST_CASE("fassst: the loss of a mask is Dice's, smoothed by one pixel, and 0 without a region") {
  const Tensor targets = Tensor::from(std::vector<float>{1, 1, 0, 0}, {1, 2, 2});
  const Var half(Tensor::zeros({1, 2, 2}), true);  // p = 1/2
  CHECK(mask_loss(half, targets).value().item() == doctest::Approx(1 - (2 * 1 + 1) / (4 * 0.25 + 2 + 1)));
  const Var sure(Tensor::from(std::vector<float>{50, 50, -50, -50}, {1, 2, 2}));
  CHECK(mask_loss(sure, targets).value().item() == doctest::Approx(0));
  CHECK(mask_loss(Var(Tensor::zeros({0, 2, 2}), true), Tensor::zeros({0, 2, 2})).value().item() == 0);
}

TEST_CASE("fassst: nothing is suppressed unless asked for, and then only within a class") {
  Tensor raw = Tensor::full({1, 1, 3, 7}, -9);
  for (i64 j = 0; j < 3; ++j) {
    float* cell = raw.data<float>() + 7 * j;
    const std::array<float, 4> code = encode({0.25F, 0.3F, 0.75F, 0.7F}, 0, j, {1, 3});  // all the same box
    std::ranges::copy(code, cell);
    cell[4] = static_cast<float>(j);
    cell[j == 2 ? 6 : 5] = 3;
  }
  const AttentionConfig attention{.grid = {1, 3}};
  CHECK(find_predictions(raw, attention, {}).cell == std::vector<i64>{2, 1, 0});
  CHECK(find_predictions(raw, attention, {.detections = 2}).cell == std::vector<i64>{2, 1});
  CHECK(find_predictions(raw, attention, {.nms_threshold = 0.6}).cell == std::vector<i64>{2, 1});
  CHECK(find_predictions(raw, attention, {.score_threshold = 0.9}).cell.empty());
}

TEST_CASE("fassst: boxes and masks go back to the picture that lies in the letterbox; beside it they are empty") {
  const Tensor boxes = Tensor::from(std::vector<float>{0.1F, 0.2F, 0.5F, 1, 0.7F, 0, 1, 1}, {2, 4});
  const Tensor there = to_original(boxes, {100, 100}, {60, 100}, {30, 50});
  CHECK(values(there.rows(0, 1)) == std::vector<float>{10, 5, 50, 25});
  CHECK(there.data<float>()[5] == there.data<float>()[7]);
  const std::vector<Rle> masks = picture_masks(Tensor::full({2, 8, 8}, 1), there, {30, 50});
  CHECK(rle_bbox(masks[0]) == XywhBox{10, 5, 40, 20});
  CHECK(rle_area(masks[1]) == 0);
}
