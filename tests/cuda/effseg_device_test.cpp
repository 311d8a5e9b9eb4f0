// EffSeg on the other device of this build, the emulated one or a GPU.
#include <doctest/doctest.h>

#include "tests/cuda/other_device.h"
#include "tests/models/tiny_effseg.h"

namespace tessera::test {

namespace {

std::unique_ptr<effseg::EffSeg> model_on(Device device, const effseg::Config& config = tiny_effseg_config()) {
  auto model = tiny_effseg(config);
  model->to(device);
  return model;
}

}  // namespace

TEST_CASE("device: an EffSeg has the losses that it has on the CPU, and in mixed precision ones near them") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  const Batch batch = rectangles({2, 1});
  const Losses here = model_on({})->losses(batch, {});
  const Losses there = model_on(*other)->losses(batch, {});
  REQUIRE(here.terms.size() == there.terms.size());
  for (size_t i = 0; i < here.terms.size(); ++i)
    CHECK(there.terms[i].value.value().item() == doctest::Approx(here.terms[i].value.value().item()).epsilon(kNearCpu));

  const auto model = model_on(*other);
  model->training_dtype = DType::kBF16;
  const Var loss = model->losses(batch, {}).total();
  CHECK(loss.value().item() == doctest::Approx(here.total().value().item()).epsilon(0.1));
  loss.backward();
  for (const auto& [name, parameter] : nn::named_parameters(*model)) {
    CAPTURE(name);
    REQUIRE(parameter->grad().defined());
    CHECK(parameter->grad().dtype() == DType::kF32);
  }
}

TEST_CASE("device: an EffSeg finds the same objects, or segments, on another device") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  for (const effseg::Config& config : {tiny_effseg_config(), tiny_panoptic_config()}) {
    CAPTURE(config.task == effseg::Task::kPanoptic);
    const auto detect = [&](Device device) {
      const auto model = model_on(device, config);
      model->eval();
      return model->detect(rectangles({2}));
    };
    const Detections here = detect({}), there = detect(*other);
    REQUIRE(here[0].size() > 1);
    REQUIRE(here[0].size() == there[0].size());
    for (size_t i = 0; i < here[0].size(); ++i) {
      CHECK(there[0][i].query == here[0][i].query);
      CHECK(there[0][i].class_index == here[0][i].class_index);
      CHECK(there[0][i].score == doctest::Approx(here[0][i].score).epsilon(kNearCpu));
      const i64 common = rle_common_area(there[0][i].mask, here[0][i].mask);
      CHECK(static_cast<double>(common) >= 0.98 * static_cast<double>(rle_area(here[0][i].mask)));
    }
  }
}

}  // namespace tessera::test
