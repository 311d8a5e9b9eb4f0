// Whole models: milliseconds of a forward pass and of a training step. bench/pytorch_peer.py times the same in PyTorch.
#include <fmt/core.h>

#include "autograd/pointwise.h"
#include "bench/bench.h"
#include "bench/measure.h"
#include "data/noise.h"
#include "models/sparseinst/sparseinst.h"
#include "tensor/allocator.h"
#include "train/optimizer.h"

namespace tessera::bench {

void models(const Options& options) {
  const auto line = [&](const std::string& name, const std::function<void()>& work) {
    if (name.find(options.filter) == std::string::npos) return;
    reset_peak();
    const double seconds = seconds_per_call(work, options.threads);
    fmt::print("{:<56}{:>10.1f}{:>10.0f}\n", name, seconds * 1e3,
               static_cast<double>(memory_report().peak) / (1 << 20));
  };
  fmt::print("\n{:<56}{:>10}{:>10}\n", "models", "ms", "peak MB");

  const std::unique_ptr<Segmenter> model = make_sparseinst({}, 1);
  auto& sparseinst = dynamic_cast<SparseInst&>(*model);
  const Batch one = make_batch(noise_samples(1, {640, 640}, 5, 80)),
              four = make_batch(noise_samples(4, {320, 320}, 5, 80));
  model->eval();
  line("sparseinst_r50_giam forward 640x640 batch 1", [&] {
    const NoGrad no_grad;
    sparseinst.forward(Var(one.images));
  });
  line("sparseinst_r50_giam forward and results 640x640 batch 1", [&] { sparseinst.detect(one); });

  nn::fuse_for_inference(*model, {.winograd = false});
  line("sparseinst_r50_giam fused forward 640x640 batch 1, exact", [&] {
    const NoGrad no_grad;
    sparseinst.forward(Var(one.images));
  });
  nn::fuse_for_inference(*model);
  line("sparseinst_r50_giam fused forward 640x640 batch 1", [&] {
    const NoGrad no_grad;
    sparseinst.forward(Var(one.images));
  });
  line("sparseinst_r50_giam fused forward and results 640x640 batch 1", [&] { sparseinst.detect(one); });

  Random random(1);
  const auto backbone = [&](const char* name, BackboneKind kind, i64 size) {
    const std::unique_ptr<Backbone> net = make_backbone({.kind = kind}, random);
    const Batch images = make_batch(noise_samples(1, {size, size}, 5, 80));
    const NoGrad no_grad;
    nn::fuse_for_inference(*net);
    line(fmt::format("{} fused forward {}x{} batch 1", name, size, size), [&] { (*net)(Var(images.images)); });
  };
  backbone("resnet50", BackboneKind::kResNet50, 640);
  backbone("mobilenet_v2", BackboneKind::kMobileNetV2, 416);

  model->train();
  Optimizer optimizer({}, *model);
  line("sparseinst_r50_giam training step 320x320 batch 4", [&] {
    optimizer.zero_grad();
    Var total;
    for (const LossTerm& term : model->losses(four)) total = total.defined() ? total + term.value : term.value;
    total.backward();
    optimizer.step(1);
  });
}

}  // namespace tessera::bench
