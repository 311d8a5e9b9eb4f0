// FASSST-416, design A of docs/fassst.md: a picture from floats to the masks of all 36 boxes, or of as many as a
// picture of COCO has objects, and a training step.
//
// Weights are random, and every cell's box is twice as wide as the cell, for bench/peer_fassst.py as well.
#include "models/fassst/fassst.h"

#include <cmath>

#include "bench/bench.h"
#include "data/noise.h"
#include "nn/working_weights.h"
#include "ops/precision.h"
#include "train/optimizer.h"

namespace tessera::bench {

namespace {

constexpr ImageSize kInput{416, 416};
constexpr i64 kBoxes = 36, kObjects = 7;

std::shared_ptr<fassst::Fassst> fassst_416() {
  fassst::Config config;
  config.attention.log_side = {std::log(2.0), std::log(2.0)};
  Random random(1);
  const auto model = std::make_shared<fassst::Fassst>(config, random);
  model->to(device());
  return model;
}

Call masks_of(i64 boxes, const nn::InferenceOptions& options) {
  const std::shared_ptr<fassst::Fassst> model = fassst_416();
  model->given = Segmenter::Found{.objects = boxes, .queries = boxes};
  model->eval();
  nn::fuse_for_inference(*model, options);
  return [model, batch = make_batch(noise_samples(1, kInput, 5, 80))] { model->detect(batch); };
}

Call training_step() {
  const std::shared_ptr<fassst::Fassst> model = fassst_416();
  model->train();
  const auto optimizer =
      std::make_shared<Optimizer>(OptimizerConfig{.kind = OptimizerKind::kSgd, .clip_norm = 10}, *model);
  const auto weights = std::make_shared<nn::WorkingWeights>();
  return [=, batch = make_batch(noise_samples(8, kInput, 5, 80))] {
    const ArithmeticScope as_in_training({.precision = precision(), .winograd = true, .tune = arithmetic().tune});
    optimizer->zero_grad();
    nn::WorkingWeights::Pass pass(*weights);
    model->losses(batch, {.epoch = 1}).total().backward();
    pass.finish();
    optimizer->step(1, optimizer->clip().scale);
  };
}

}  // namespace

void fassst_cases(Cases& cases) {
  const auto picture = [&](i64 boxes, const std::string& how, const nn::InferenceOptions& options) {
    cases.push_back({.group = "fassst_416, batch 1",
                     .name = fmt::format("masks of {} boxes{}", boxes, how),
                     .peer = {{"op", "fassst"}, {"count", boxes}},
                     .make = [=] { return masks_of(boxes, options); },
                     .counted = true});
  };
  picture(kBoxes, "", {});
  picture(kBoxes, ", without Winograd", {.winograd = false});
  picture(kObjects, "", {});
  cases.push_back({.group = "fassst_416, batch 8",
                   .name = "training step, SGD",
                   .peer = {{"op", "fassst_step"}},
                   .make = training_step});
}

}  // namespace tessera::bench
