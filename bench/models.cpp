// Whole models: forward passes, on devices with graphs also replayed, and training steps from the images to the updated
// parameters.
#include "autograd/arrange.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "autograd/pool.h"
#include "bench/bench.h"
#include "data/noise.h"
#include "models/sparseinst/sparseinst.h"
#include "nn/working_weights.h"
#include "ops/precision.h"
#include "tensor/device_runtime.h"
#include "train/optimizer.h"

namespace tessera::bench {

namespace {

std::shared_ptr<Backbone> backbone(const BackboneConfig& config) {
  Random random(1);
  std::shared_ptr<Backbone> network = make_backbone(config, random);
  network->to(device());
  return network;
}

Call backbone_forward(BackboneKind kind, i64 size) {
  const std::shared_ptr<Backbone> network = backbone({.kind = kind, .norm = nn::Norm::kBatch});
  nn::fuse_for_inference(*network);
  return [network, images = Var(random_tensor({1, size, size, 3}))] {
    const NoGrad no_grad;
    (*network)(images);
  };
}

std::shared_ptr<sparseinst::SparseInst> sparseinst() {
  sparseinst::Config config;
  config.inference.score_threshold = 0;  // every mask is enlarged
  config.inference.maskness = false;
  Random random(1);
  const auto model = std::make_shared<sparseinst::SparseInst>(config, random);
  model->to(device());
  return model;
}

std::shared_ptr<sparseinst::SparseInst> fused_sparseinst(const nn::InferenceOptions& options = {}) {
  const std::shared_ptr<sparseinst::SparseInst> model = sparseinst();
  nn::fuse_for_inference(*model, options);
  return model;
}

Call sparseinst_forward(const nn::InferenceOptions& options, i64 batch = 1) {
  return [model = fused_sparseinst(options), images = Var(random_tensor({batch, 640, 640, 3}))] {
    const NoGrad no_grad;
    model->forward(images);
  };
}

Call sparseinst_step(DType dtype) {
  const std::shared_ptr<sparseinst::SparseInst> model = sparseinst();
  model->train();
  model->training_dtype = dtype;
  const auto optimizer = std::make_shared<Optimizer>(OptimizerConfig{}, *model);
  const auto weights = std::make_shared<nn::WorkingWeights>();
  return [=, batch = make_batch(noise_samples(4, {320, 320}, 5, 80))] {
    const ArithmeticScope as_in_training({.precision = precision(), .winograd = true, .tune = arithmetic().tune});
    optimizer->zero_grad();
    nn::WorkingWeights::Pass pass(*weights);
    model->losses(batch, {}).total().backward();
    pass.finish();
    optimizer->step(1);
  };
}

struct Classifier : nn::Module {
  std::shared_ptr<Backbone> body;
  nn::Linear head;
  void visit(nn::Visitor& v) override {
    v.child("body", *body);
    v.child("head", head);
  }
};

Call resnet_step() {
  const auto model = std::make_shared<Classifier>();
  Random random(1);
  model->body = backbone({.norm = nn::Norm::kBatch});
  model->head = nn::Linear(2048, 1000, random);
  model->to(device());
  model->train();
  const auto optimizer = std::make_shared<Optimizer>(OptimizerConfig{.kind = OptimizerKind::kSgd}, *model);
  const Tensor classes = Tensor::from(std::vector<i64>{1, 2, 3, 4}).to(device());
  return [=, images = Var(random_tensor({4, 224, 224, 3}))] {
    const ArithmeticScope as_in_training({.precision = precision(), .winograd = true, .tune = arithmetic().tune});
    optimizer->zero_grad();
    const Var pooled = reshape(adaptive_avg_pool2d((*model->body)(images).back(), 1, 1), {4, 2048});
    cross_entropy(model->head(pooled), classes, Reduction::kMean).backward();
    optimizer->step(1);
  };
}

// The norm of all gradients, clipping and the update of 161 tensors: nothing of a step but the optimiser.
Call optimizer_step(OptimizerKind kind) {
  const std::shared_ptr<Backbone> network = backbone({.norm = nn::Norm::kBatch});
  for (auto& [name, parameter] : nn::named_parameters(*network)) parameter->grad() = random_tensor(parameter->shape());
  const auto optimizer = std::make_shared<Optimizer>(OptimizerConfig{.kind = kind, .clip_norm = 1}, *network);
  return [network, optimizer] { optimizer->step(1, optimizer->clip().scale); };
}

void optimizer_case(Cases& cases, const std::string& name, OptimizerKind kind, double bytes_per_parameter) {
  constexpr double kParameters = 23'508'032;
  cases.push_back({.group = "optimiser, parameters of ResNet-50",
                   .name = name,
                   .peer = {{"op", "optimizer_step"}, {"kind", name}},
                   .make = [=] { return optimizer_step(kind); },
                   .bytes = bytes_per_parameter * kParameters});
}

void forward(Cases& cases, const std::string& name, const Json& peer, const std::function<Call()>& make,
             i64 batch = 1) {
  cases.push_back(
      {.group = fmt::format("models, batch {}", batch), .name = name, .peer = peer, .make = make, .counted = true});
}

// What is worth a GPU's while: graphs, and many images at once.
void replayed(Cases& cases) {
  const auto one = [&](const std::string& name, i64 batch, bool graph) {
    forward(
        cases, name, {{"op", "sparseinst"}, {"size", 640}, {"batch", batch}},
        [=] { return sparseinst_forward({.graph = graph}, batch); }, batch);
  };
  one("sparseinst_r50_giam 640, replayed", 1, true);
  one("sparseinst_r50_giam 640", 32, false);
  one("sparseinst_r50_giam 640, replayed", 32, true);
}

}  // namespace

void model_cases(Cases& cases) {
  const auto beside_both = [&](const std::string& network, BackboneKind kind, i64 size) {
    const std::string name = network + " " + std::to_string(size);
    const auto make = [=] { return backbone_forward(kind, size); };
    forward(cases, name, {{"op", network}, {"size", size}}, make);
    forward(cases, name + ", beside ncnn", {{"op", network}, {"size", size}, {"library", "ncnn"}}, make);
  };
  beside_both("resnet50", BackboneKind::kResNet50, 640);
  beside_both("resnet50", BackboneKind::kResNet50, 224);
  beside_both("mobilenet_v2", BackboneKind::kMobileNetV2, 416);
  forward(cases, "sparseinst_r50_giam 640", {{"op", "sparseinst"}, {"size", 640}},
          [] { return sparseinst_forward({}); });
  forward(cases, "sparseinst_r50_giam 640, without Winograd", {{"op", "sparseinst"}, {"size", 640}},
          [] { return sparseinst_forward({.winograd = false}); });
  forward(cases, "sparseinst_r50_giam 640, masks of 100 objects",
          {{"op", "sparseinst"}, {"size", 640}, {"masks", true}}, []() -> Call {
            return [model = fused_sparseinst(), batch = make_batch(noise_samples(1, {640, 640}, 5, 80))] {
              model->detect(batch);
            };
          });
  if (device_runtime(device().kind).begin_capture) replayed(cases);
  cases.push_back({.group = "training steps, batch 4",
                   .name = "sparseinst_r50_giam 320, AdamW",
                   .peer = {{"op", "sparseinst_step"}, {"size", 320}, {"batch", 4}},
                   .make = [] { return sparseinst_step(DType::kF32); }});
  if (device().kind != DeviceKind::kCpu)  // which has no bf16 kernels
    cases.push_back({.group = "training steps, batch 4",
                     .name = "sparseinst_r50_giam 320, AdamW, mixed precision",
                     .peer = {{"op", "sparseinst_step"}, {"size", 320}, {"batch", 4}, {"mixed", true}},
                     .make = [] { return sparseinst_step(DType::kBF16); }});
  cases.push_back({.group = "training steps, batch 4",
                   .name = "resnet50 224, SGD",
                   .peer = {{"op", "resnet50_step"}, {"size", 224}, {"batch", 4}},
                   .make = resnet_step});
  // The norm reads the gradient; the update reads gradient, parameter and moments, and writes all but the gradient.
  optimizer_case(cases, "AdamW, clipped", OptimizerKind::kAdamW, 32);
  optimizer_case(cases, "SGD, clipped", OptimizerKind::kSgd, 24);
}

}  // namespace tessera::bench
