// FASSST on the other device of this build, the emulated one or a GPU.
#include <doctest/doctest.h>

#include "tensor/device_counts.h"
#include "tests/cuda/family_on_device.h"
#include "tests/cuda/other_device.h"
#include "tests/models/tiny_fassst.h"

using namespace tessera;
using namespace tessera::fassst;

namespace {

std::unique_ptr<Fassst> model_on(Device device, const Config& config) {
  auto model = test::tiny_fassst(config);
  model->to(device);
  return model;
}

}  // namespace

TEST_CASE("device: a FASSST trains on another device with the losses that it has on the CPU") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  for (const Config& config : {test::tiny_fassst_config(), test::tiny_literal_config()})
    test::check_same_losses(*model_on({}, config), *model_on(*other, config));
}

TEST_CASE("device: the losses of a FASSST do not wait for the device") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  const auto model = model_on(*other, test::tiny_fassst_config());
  const i64 before = device_counts().waits;
  model->losses(test::rectangles({2, 3}), {.epoch = 1}).total().backward();
  CHECK(device_counts().waits == before);
}

TEST_CASE("device: a FASSST finds the same objects on another device") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  Config config = test::tiny_fassst_config();
  config.inference = {.score_threshold = 0, .detections = 5};
  const auto detect = [&](Device device) {
    const auto model = model_on(device, config);
    model->eval();
    return model->detect(test::rectangles({1, 2}));
  };
  const Detections here = detect({}), there = detect(*other);
  for (size_t image : {0, 1}) {
    REQUIRE(here[image].size() == there[image].size());
    for (size_t i = 0; i < here[image].size(); ++i) {
      CHECK(there[image][i].query == here[image][i].query);
      CHECK(there[image][i].score == doctest::Approx(here[image][i].score).epsilon(test::kNearCpu));
      CHECK(there[image][i].box[0] == doctest::Approx(here[image][i].box[0]).epsilon(test::kNearCpu).scale(64));
    }
  }
}

TEST_CASE("device: a FASSST trains in mixed precision") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  test::check_mixed_precision(*model_on(*other, test::tiny_fassst_config()));
}
