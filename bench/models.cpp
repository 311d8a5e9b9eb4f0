// Whole models: milliseconds of a forward pass and of a training step. bench/pytorch_peer.py times the same in PyTorch.
#include <fmt/core.h>

#include <algorithm>

#include "autograd/pointwise.h"
#include "bench/bench.h"
#include "bench/measure.h"
#include "models/sparseinst/sparseinst.h"
#include "tensor/allocator.h"
#include "train/optimizer.h"

namespace tessera::bench {
namespace {

// Pictures of noise with `objects` rectangles each.
Batch made_up_batch(i64 images, i64 size, i64 objects) {
  Random random(7);
  std::vector<Sample> samples;
  for (i64 n = 0; n < images; ++n) {
    Sample sample;
    sample.original = {size, size};
    sample.image = Tensor::empty({size, size, 3}, DType::kU8);
    for (u8& value : sample.image.span<u8>()) value = static_cast<u8>(random.bits());
    sample.targets.masks = Tensor::zeros({objects, size, size}, DType::kU8);
    sample.targets.classes = Tensor::zeros({objects}, DType::kI64);
    sample.targets.boxes = Tensor::zeros({objects, 4});
    for (i64 k = 0; k < objects; ++k) {
      const i64 top = random.integer(0, size / 2), left = random.integer(0, size / 2);
      for (i64 y = top; y < top + size / 3; ++y)
        std::fill_n(sample.targets.masks.data<u8>() + (k * size + y) * size + left, size / 3, u8{1});
      sample.targets.classes.data<i64>()[k] = random.integer(0, 79);
      sample.targets.annotations.push_back(k + 1);
    }
    samples.push_back(std::move(sample));
  }
  return make_batch(std::move(samples));
}

}  // namespace

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
  const Batch one = made_up_batch(1, 640, 5), four = made_up_batch(4, 320, 5);
  model->eval();
  line("sparseinst_r50_giam forward 640x640 batch 1", [&] {
    const NoGrad no_grad;
    sparseinst.forward(Var(one.images));
  });
  line("sparseinst_r50_giam forward and results 640x640 batch 1", [&] { sparseinst.detect(one); });

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
