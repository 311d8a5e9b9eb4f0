// A Segmenter of nine numbers and a data set of noise: what the training loop does to them can be followed exactly.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "data/loader.h"
#include "models/batch_images.h"
#include "models/segmenter.h"
#include "tensor/random.h"

namespace tessera::test {

// loss_fit = sum_n |p_n - n mod 2|^2 / objects and loss_size = sum_n |w|^2 / objects, p_n = mean pixel of image n * w +
// b: like the losses of a detector they are sums divided by the number of objects in the batch.
class Toy : public Segmenter {
 public:
  Toy() {
    Random random(3);
    for (Var* var : {&weight, &bias, &norm}) {
      Tensor value = Tensor::empty({3});
      random.fill_normal(value, 0, 1);
      *var = Var(value, true);
    }
    counter = Tensor::zeros({1});
  }

  void visit(nn::Visitor& v) override {
    v.parameter("backbone.weight", weight);
    v.parameter("bias", bias);
    v.parameter("norm", norm);
    v.buffer("counter", counter);
  }

  Losses losses(const Batch& batch, const StepContext& context) override {
    contexts.push_back(context);
    counter.data<float>()[0] += 1;  // a buffer that changes in training, like running statistics
    std::vector<float> wanted;
    for (const Sample& sample : batch.samples) wanted.push_back(static_cast<float>(sample.index % 2));
    const double share = 1.0 / (averaged ? 1 : std::max<double>(1, static_cast<double>(batch.objects())));
    const Var prediction = mean(Var(batch_images(batch, {})), {1, 2}) * weight + bias * norm;  // [N, 3]
    const Var error = prediction - Var(Tensor::from(wanted, {batch.size(), 1}));
    std::vector<LossTerm> terms{{"loss_fit", sum(error * error) * share},
                                {"loss_size", sum(weight * weight) * (share * static_cast<double>(batch.size()))}};
    if (disturb) disturb(batch, terms);
    return {terms};
  }

  std::vector<double> normalisers(const Batch& batch) const override {
    return averaged ? std::vector<double>() : std::vector{static_cast<double>(batch.objects())};
  }

  Detections detect(const Batch& batch) override {
    return Detections(batch.size());
  }

  std::function<void(const Batch& batch, std::vector<LossTerm>& terms)> disturb;  // a test's way to break things
  bool averaged = false;              // losses that are sums, not divided by the objects
  std::vector<StepContext> contexts;  // of every call of losses()
  Var weight, bias, norm;
  Tensor counter;
};

// Ten pictures of 8 x 8 that differ from epoch to epoch; picture i has i mod 3 objects.
class Noise : public SampleSource {
 public:
  i64 size() const override { return 10; }
  ImageSize original_size(i64) const override { return {8, 8}; }
  Sample load(i64 epoch, i64 index) const override {
    Random random(11, stream_of("noise", {static_cast<u64>(epoch), static_cast<u64>(index)}));
    Sample sample;
    sample.image = Tensor::empty({8, 8, 3}, DType::kU8);
    for (u8& pixel : sample.image.span<u8>()) pixel = static_cast<u8>(random.integer(0, 255));
    sample.targets.annotations.assign(static_cast<size_t>(index % 3), 1);
    sample.original = {8, 8};
    sample.index = index;
    sample.file = "folder/noise" + std::to_string(index) + ".png";
    return sample;
  }
};

}  // namespace tessera::test
