// From logits to objects: choice, scores, and masks in the size of the original picture.
#include <doctest/doctest.h>

#include <cmath>

#include "models/picture_runs.h"
#include "models/sparseinst/inference.h"
#include "ops/interpolate.h"
#include "ops/pointwise.h"
#include "tensor/device_counts.h"
#include "tensor/device_runtime.h"
#include "tensor/random.h"
#include "tests/models/enlarged_mask.h"

using namespace tessera;
using namespace tessera::sparseinst;

namespace {

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

// One picture, two queries, two classes, masks of 4 x 4.
Logits small_logits() {
  Logits logits{Tensor::full({1, 2, 2}, -8), Tensor::zeros({1, 2, 1}), Tensor::full({1, 2, 4, 4}, -5)};
  logits.classes.data<float>()[1] = 2;  // query 0: class 1
  logits.masks.data<float>()[5] = 3;    // one pixel of query 0
  return logits;
}

std::vector<Instance> found_in(const Logits& logits, const InferenceConfig& config = {},
                               const MaskResampler& resampler = {{4, 4}, {16, 16}, {16, 16}, {8, 9}}) {
  return find_instances(logits, {resampler}, config).at(0);
}

// Of a map [1, h, w] of logits.
Rle mask_of(const Tensor& map, const MaskResampler& resampler, double threshold) {
  const Logits logits{Tensor::zeros({1, 1, 1}), {}, map.reshape({1, 1, map.dim(1), map.dim(2)})};
  return found_in(logits, {.mask_threshold = threshold}, resampler).at(0).mask;
}

}  // namespace

TEST_CASE("inference: scores are sqrt(class x objectness) x maskness, classes the best") {
  const std::vector<Instance> kept = found_in(small_logits());
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
  CHECK(found_in(small_logits(), config)[0].score == doctest::Approx(std::sqrt(logistic(2) * 0.5)));
  config.rescore = false;
  CHECK(found_in(small_logits(), config)[0].score == doctest::Approx(logistic(2)));
  Logits logits = small_logits();
  logits.objectness = Tensor();
  config.rescore = true;
  CHECK(found_in(logits, config)[0].score == doctest::Approx(logistic(2)));
}

TEST_CASE("inference: the threshold is strict and applies before maskness; nothing kept gives nothing") {
  InferenceConfig config;
  config.score_threshold = 0.5;
  CHECK(found_in(small_logits(), config).size() == 1);
  Logits even = small_logits();
  even.objectness = Tensor();
  even.classes.data<float>()[1] = 0;  // a score of one half
  CHECK(found_in(even, config).empty());
  config.score_threshold = 0.49999;
  CHECK(found_in(even, config).size() == 1);
  Logits second = small_logits();
  second.classes.data<float>()[2] = 9;  // query 1 alone is kept
  second.classes.data<float>()[1] = -9;
  const std::vector<Instance> found = found_in(second, config);
  REQUIRE(found.size() == 1);
  CHECK(found[0].query == 1);
  CHECK(found[0].class_index == 0);
  CHECK(found[0].mask.width == 9);
  config.score_threshold = 0.99;
  CHECK(found_in(small_logits(), config).empty());
}

TEST_CASE("inference: every picture of a batch has its own objects and its own size, on all devices") {
  Random random(3);
  Logits logits{Tensor::empty({3, 5, 2}), Tensor::empty({3, 5, 1}), Tensor::empty({3, 5, 6, 7})};
  for (Tensor* part : {&logits.classes, &logits.objectness, &logits.masks}) random.fill_uniform(*part, -3, 3);
  const std::vector<ImageSize> originals = {{24, 28}, {51, 9}, {10, 70}};
  const InferenceConfig config{.score_threshold = 0.4};
  for (const Device device : present_devices()) {
    CAPTURE(fmt::format("{}", device));
    const Logits there{logits.classes.to(device), logits.objectness.to(device), logits.masks.to(device)};
    std::vector<MaskResampler> resamplers;
    for (const ImageSize& original : originals)
      resamplers.emplace_back(ImageSize{6, 7}, ImageSize{24, 28}, ImageSize{24, 28}, original, device);
    const i64 before = device_counts().waits;
    const Detections found = find_instances(there, resamplers, config);
    CHECK(device_counts().waits - before == (device == Device{} ? 0 : 1));
    for (i64 n = 0; n < 3; ++n) {
      const auto row = [n](const Tensor& all) { return all.rows(n, n + 1); };
      const ImageSize original = originals[static_cast<size_t>(n)];
      const std::vector<Instance> alone = found_in({row(logits.classes), row(logits.objectness), row(logits.masks)},
                                                   config, {{6, 7}, {24, 28}, {24, 28}, original});
      const std::vector<Instance>& of_batch = found[static_cast<size_t>(n)];
      REQUIRE(of_batch.size() == alone.size());
      CHECK(alone.size() % 5 != 0);  // some are kept, some not
      for (size_t i = 0; i < alone.size(); ++i) {
        CHECK(of_batch[i].query == alone[i].query);
        CHECK(of_batch[i].class_index == alone[i].class_index);
        CHECK(of_batch[i].score == doctest::Approx(alone[i].score).epsilon(1e-5));
        CHECK(of_batch[i].mask.width == original.width);
        CHECK(std::abs(rle_area(of_batch[i].mask) - rle_area(alone[i].mask)) <= 1);  // a sigmoid's last bit
      }
    }
  }
}

TEST_CASE("inference: more runs than there is room for come with a second wait, and all of them") {
  const MaskResampler resampler({8, 8}, {8, 8}, {8, 8}, {8, 8});
  Tensor logits = Tensor::empty({3, 8, 8});
  for (i64 i = 0; i < logits.numel(); ++i) logits.data<float>()[i] = i % 3 == 0 ? 4.0f : -4.0f;
  const auto masks = [&](Device device, i64 room, i64 waits) {
    const Tensor maps = logits.to(device);
    const MaskResampler there({8, 8}, {8, 8}, {8, 8}, {8, 8}, device);
    std::vector<Tensor> more = {maps.rows(1, 2)};
    const i64 before = device_counts().waits;
    const std::vector<PictureRuns> call = {
        {{8, 8}, [&](i64 most) { return ops::mask_runs(maps, {}, there.rows, there.columns, 0.5, most); }}};
    std::vector<std::vector<Rle>> found = masks_of(call, more, room);
    CHECK(device_counts().waits - before == (device == Device{} ? 0 : waits));
    CHECK(more[0].span<float>()[2] == 4);  // 64 % 3 + 2
    return found.at(0);
  };
  const std::vector<Rle> want = masks({}, 1000, 0);
  CHECK(want.at(2) == encode_rle(ops::greater_equal(logits.rows(2, 3).reshape({8, 8}), 0)));
  for (const Device device : present_devices()) {
    CHECK(masks(device, 1000, 1) == want);
    CHECK(masks(device, 5, 2) == want);
  }
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
  CHECK(mask_of(logits, resampler, 0.5) ==  // the threshold itself is outside
        encode_rle(Tensor::from(std::vector<u8>{1, 0, 0, 1, 1, 0, 0, 0, 1}, {3, 3})));
  CHECK(mask_of(Tensor::full({1, 3, 3}, -9), resampler, 0.45).counts == std::vector<u32>{9});
  CHECK(mask_of(Tensor::full({1, 3, 3}, 9), resampler, 0.45).counts == std::vector<u32>{0, 9});
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
    const Rle rle = mask_of(logits, resampler, 0.5);
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
