// From logits to objects: choice, scores, and masks in the size of the original picture.
#include <doctest/doctest.h>

#include <cmath>

#include "models/sparseinst/inference.h"
#include "ops/interpolate.h"
#include "ops/pointwise.h"
#include "tensor/random.h"
#include "tests/models/enlarged_mask.h"

using namespace tessera;
using namespace tessera::sparseinst;

namespace {

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

// Two queries, two classes, masks of 4 x 4.
PictureLogits small_logits() {
  PictureLogits logits{Tensor::full({2, 2}, -8), Tensor::zeros({2, 1}), Tensor::full({2, 4, 4}, -5)};
  logits.classes.data<float>()[1] = 2;  // query 0: class 1
  logits.masks.data<float>()[5] = 3;    // one pixel of query 0
  return logits;
}

}  // namespace

TEST_CASE("inference: scores are sqrt(class x objectness) x maskness, classes the best") {
  const std::vector<Choice> kept = choose_queries(small_logits(), {});
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].query == 0);
  CHECK(kept[0].class_index == 1);
  CHECK(kept[0].score == doctest::Approx(std::sqrt(logistic(2) * 0.5) * logistic(3)).epsilon(1e-5));
  CHECK(kept[1].class_index == 0);  // equal classes: the lowest
  CHECK(kept[1].score == 0);        // no pixel above the threshold: score 0, and it stays
}

TEST_CASE("inference: rescoring and maskness can be turned off") {
  InferenceConfig config;
  config.maskness = false;
  CHECK(choose_queries(small_logits(), config)[0].score == doctest::Approx(std::sqrt(logistic(2) * 0.5)));
  config.rescore = false;
  CHECK(choose_queries(small_logits(), config)[0].score == doctest::Approx(logistic(2)));
  PictureLogits logits = small_logits();
  logits.objectness = Tensor();
  config.rescore = true;
  CHECK(choose_queries(logits, config)[0].score == doctest::Approx(logistic(2)));
}

TEST_CASE("inference: the threshold is strict and applies before maskness; nothing kept gives nothing") {
  InferenceConfig config;
  config.score_threshold = 0.5;
  CHECK(choose_queries(small_logits(), config).size() == 1);
  PictureLogits second = small_logits();
  second.classes.data<float>()[2] = 9;  // query 1 alone is kept
  second.classes.data<float>()[1] = -9;
  const std::vector<Instance> found = find_instances(second, MaskResampler({4, 4}, {16, 16}, {16, 16}, {8, 9}), config);
  REQUIRE(found.size() == 1);
  CHECK(found[0].query == 1);
  CHECK(found[0].class_index == 0);
  CHECK(found[0].mask.width == 9);
  config.score_threshold = 0.99;
  const MaskResampler resampler({4, 4}, {16, 16}, {16, 16}, {16, 16});
  CHECK(find_instances(small_logits(), resampler, config).empty());
}

TEST_CASE("inference: masks equal two bilinear resizes with a crop between them") {
  struct Case {
    ImageSize map, padded, resized, original;
  };
  for (const Case& c : {Case{{8, 12}, {32, 48}, {30, 41}, {60, 80}}, Case{{8, 8}, {32, 32}, {32, 32}, {32, 32}},
                        Case{{6, 5}, {24, 20}, {17, 20}, {9, 7}}, Case{{4, 4}, {32, 32}, {20, 9}, {1, 133}}}) {
    CAPTURE(c.original.width);
    Tensor map = Tensor::empty({1, c.map.height, c.map.width, 1});
    Random(5).fill_uniform(map, 0, 1);
    const Tensor full = ops::interpolate(map, c.padded.height, c.padded.width, ops::Interpolation::kBilinear);
    Tensor cropped = Tensor::empty({1, c.resized.height, c.resized.width, 1});
    for (i64 y = 0; y < c.resized.height; ++y)
      for (i64 x = 0; x < c.resized.width; ++x)
        cropped.data<float>()[y * c.resized.width + x] = full.data<float>()[y * c.padded.width + x];
    const Tensor want = ops::interpolate(cropped, c.original.height, c.original.width, ops::Interpolation::kBilinear);

    const MaskResampler resampler(c.map, c.padded, c.resized, c.original);
    const Tensor got = test::enlarged(map.reshape({1, c.map.height, c.map.width}), resampler);
    double worst = 0;
    for (i64 i = 0; i < got.numel(); ++i)
      worst = std::max(worst, std::abs(double{got.data<float>()[i]} - double{want.data<float>()[i]}));
    CHECK(worst < 2e-6);
  }
}

TEST_CASE("inference: run lengths are those of the thresholded mask") {
  const MaskResampler resampler({3, 3}, {3, 3}, {3, 3}, {3, 3});
  const Tensor logits = Tensor::from(std::vector<float>{2, -2, -2, 2, 2, -2, 0, -2, 0.01f}, {1, 3, 3});
  const auto mask_of = [&](const Tensor& masks, double threshold) {
    return threshold_masks(masks, {{.query = 0}}, resampler, threshold).at(0);
  };
  CHECK(mask_of(logits, 0.5) ==  // the threshold itself is outside
        encode_rle(Tensor::from(std::vector<u8>{1, 0, 0, 1, 1, 0, 0, 0, 1}, {3, 3})));
  CHECK(mask_of(Tensor::full({1, 3, 3}, -9), 0.45).counts == std::vector<u32>{9});
  CHECK(mask_of(Tensor::full({1, 3, 3}, 9), 0.45).counts == std::vector<u32>{0, 9});
}

TEST_CASE("inference: a thousand masks of any size have the runs of their columns, one pixel after the other") {
  Random random(9);
  i64 decided = 0, all = 0;
  for (int k = 0; k < 1000; ++k) {
    const ImageSize map{random.integer(1, 20), random.integer(1, 20)}, padded{map.height * 4, map.width * 4};
    const ImageSize original{random.integer(1, k % 20 == 0 ? 300 : 70), random.integer(1, 30)};
    const MaskResampler resampler(map, padded, padded, original);
    Tensor logits = Tensor::empty({1, map.height, map.width});
    const double level = random.uniform(-3, 3);  // some masks are nearly empty or nearly full
    for (float& value : logits.span<float>()) value = static_cast<float>(level + random.uniform(-1, 1));
    const Tensor probabilities = test::enlarged(ops::sigmoid(logits), resampler);
    const Rle rle = threshold_masks(logits, {{.query = 0}}, resampler, 0.5).at(0);
    CAPTURE(original.height);
    const Tensor mask = decode_rle(rle);
    REQUIRE(encode_rle(mask) == rle);  // in the canonical form
    REQUIRE(mask.shape() == probabilities.shape());
    for (i64 i = 0; i < mask.numel(); ++i) {
      const float p = probabilities.data<float>()[i];
      ++all;
      if (std::abs(p - 0.5f) < 1e-6f) continue;  // rounding decides
      ++decided;
      REQUIRE(mask.data<u8>()[i] == (p > 0.5f));
    }
  }
  CHECK(all - decided < all / 1000);
}
