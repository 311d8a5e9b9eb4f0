// FASSST on the other device of this build, the emulated one or a GPU.
#include <doctest/doctest.h>

#include "tensor/device_waits.h"
#include "tests/cuda/other_device.h"
#include "tests/models/tiny_fassst.h"
#include "train/optimizer.h"

using namespace tessera;
using namespace tessera::fassst;

namespace {

std::unique_ptr<Fassst> model_on(Device device, const Config& config) {
  auto model = test::tiny_fassst(config);
  model->to(device);
  return model;
}

// The losses of every step, term by term.
std::vector<double> train_steps(Device device, const Config& config, int steps) {
  const auto model = model_on(device, config);
  Optimizer optimizer({.lr = 1e-3, .clip_norm = 1}, *model);
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const Losses now = model->losses(test::rectangles({2, 0, 3}), {.step = step, .epoch = static_cast<double>(step)});
    now.total().backward();
    optimizer.step(1, optimizer.clip().scale);
    optimizer.zero_grad();
    for (const LossTerm& term : now.terms) losses.push_back(term.value.value().item());
  }
  return losses;
}

}  // namespace

TEST_CASE("device: a FASSST trains on another device with the losses that it has on the CPU") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  for (const Config& config : {test::tiny_fassst_config(), test::tiny_literal_config()}) {
    const std::vector<double> here = train_steps({}, config, 2), there = train_steps(*other, config, 2);
    REQUIRE(here.size() == there.size());
    for (size_t i = 0; i < here.size(); ++i) CHECK(there[i] == doctest::Approx(here[i]).epsilon(2e-3));
  }
}

TEST_CASE("device: the losses of a FASSST do not wait for the device") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  const auto model = model_on(*other, test::tiny_fassst_config());
  const i64 before = device_waits();
  model->losses(test::rectangles({2, 3}), {.epoch = 1}).total().backward();
  CHECK(device_waits() == before);
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
      CHECK(there[image][i].score == doctest::Approx(here[image][i].score).epsilon(1e-4));
      CHECK(there[image][i].box[0] == doctest::Approx(here[image][i].box[0]).epsilon(1e-3).scale(64));
    }
  }
}

TEST_CASE("device: a FASSST trains in mixed precision") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  const auto loss_of = [&](DType dtype) {
    const auto model = model_on(*other, test::tiny_fassst_config());
    model->training_dtype = dtype;
    const Var loss = model->losses(test::rectangles({2, 1}), {}).total();
    loss.backward();
    for (const auto& [name, parameter] : nn::named_parameters(*model)) {
      CAPTURE(name);
      CHECK(parameter->grad().dtype() == DType::kF32);
    }
    return loss.value().item();
  };
  CHECK(loss_of(DType::kBF16) == doctest::Approx(loss_of(DType::kF32)).epsilon(0.1));
}
