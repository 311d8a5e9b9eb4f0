// EffSeg that finds segments: with each of its heads, from the network's output to masks that share no pixel.
#include <doctest/doctest.h>

#include <algorithm>

#include "models/model.h"
#include "tests/models/tiny_effseg.h"

namespace tessera::test {

using namespace effseg;

namespace {

std::unique_ptr<EffSeg> evaluated(const Config& config) {
  auto model = tiny_effseg(config);
  model->eval();
  return model;
}

i64 shared_pixels(const std::vector<Instance>& segments) {
  std::vector<Rle> masks;
  i64 pixels = 0;
  for (const Instance& segment : segments) {
    masks.push_back(segment.mask);
    pixels += rle_area(segment.mask);
  }
  return pixels - rle_area(rle_merge(masks));
}

}  // namespace

TEST_CASE("effseg, panoptic: segments of every head share no pixel, things first, of stuff one a class") {
  Batch batch = rectangles({2, 1});
  batch.samples[1].original = {100, 90};
  for (const auto& [name, kind] : names_of(HeadKind{})) {
    INFO(name);
    const auto model = evaluated(tiny_panoptic_config(kind));
    CHECK(model->finds_segments());
    const Detections found = model->detect(batch);
    REQUIRE(found.size() == 2);
    for (size_t n = 0; n < 2; ++n) {
      REQUIRE(found[n].size() > 2);
      CHECK(shared_pixels(found[n]) == 0);
      CHECK(std::ranges::is_sorted(found[n], {}, [](const Instance& i) { return i.class_index >= 2; }));
      CHECK(std::ranges::count(found[n], 2, &Instance::class_index) <= 1);
      for (const Instance& segment : found[n]) {
        CHECK(segment.mask.height == batch.samples[n].original.height);
        CHECK(segment.mask.width == batch.samples[n].original.width);
        CHECK(rle_area(segment.mask) > 0);
        CHECK(segment.box == rle_bbox(segment.mask));
        CHECK(segment.query < 60);
      }
    }
  }
}

TEST_CASE("effseg, panoptic: a batch finds what its pictures find alone, and the padding is nobody's") {
  const auto model = evaluated(tiny_panoptic_config());
  const Batch batch = rectangles({2, 3});
  Batch second = batch;
  second.samples = {batch.samples[1]};
  const std::vector<Instance> both = model->detect(batch)[1], alone = model->detect(second)[0];
  REQUIRE(both.size() == alone.size());
  for (size_t i = 0; i < both.size(); ++i) {
    CHECK(both[i].query == alone[i].query);
    CHECK(rle_common_area(both[i].mask, alone[i].mask) >= 0.98 * static_cast<double>(rle_area(alone[i].mask)));
  }
}

TEST_CASE("effseg, panoptic: without a score above the threshold there are no segments") {
  Config config = tiny_panoptic_config();
  config.panoptic.score_threshold = 1;
  for (const auto& [name, kind] : names_of(HeadKind{})) {
    INFO(name);
    config.head.kind = kind;
    CHECK(evaluated(config)->detect(rectangles({2}))[0].empty());
  }
}

TEST_CASE("effseg, panoptic: learning is that of objects, and the queries are the limit") {
  const auto losses = [](const Config& config) {
    return tiny_effseg(config)->losses(rectangles({2, 1}), {}).total().value().item();
  };
  Config config = tiny_panoptic_config();
  CHECK(tiny_effseg(config)->object_limit()->objects == config.queries);
  CHECK(tiny_effseg(config)->object_limit()->option == "model.queries");
  const double of_segments = losses(config);
  config.task = Task::kInstances;
  CHECK(of_segments == losses(config));
  CHECK_FALSE(tiny_effseg(config)->finds_segments());
}

TEST_CASE("effseg, panoptic: the data's classes reach a network that tells things from stuff, no other") {
  ModelConfig config;
  REQUIRE(config.choose("effseg"));
  config.set_classes(133, 80);
  CHECK(config.num_classes() == 133);
  CHECK(config.things() == 80);
  CHECK(std::get<Config>(config.network).panoptic.things == 80);
  REQUIRE(config.choose("fqdet"));
  config.set_classes(133, 80);
  CHECK(config.num_classes() == 133);
  CHECK(config.things() == 133);
}

}  // namespace tessera::test
