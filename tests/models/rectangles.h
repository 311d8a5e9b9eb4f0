// Batches of coloured rectangles to learn from, for the unit tests of all models.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "models/segmenter.h"
#include "tensor/random.h"

namespace tessera::test {

// One picture of 64 x 64 per entry, with that many rectangles; classes 0, 1, 2, 0, ...
inline Batch rectangles(const std::vector<i64>& counts) {
  constexpr i64 kSize = 64;
  Random random(3);
  std::vector<Sample> samples;
  for (const i64 K : counts) {
    Sample sample;
    sample.image = Tensor::empty({kSize, kSize, 3}, DType::kU8);
    for (u8& value : sample.image.span<u8>()) value = static_cast<u8>(random.integer(0, 60));
    sample.original = {kSize, kSize};
    sample.image_id = static_cast<i64>(samples.size()) + 1;
    sample.targets = {Tensor::zeros({K, kSize, kSize}, DType::kU8), Tensor::zeros({K}, DType::kI64),
                      Tensor::zeros({K, 4}), std::vector<i64>(static_cast<size_t>(K))};
    for (i64 k = 0; k < K; ++k) {
      const i64 top = random.integer(0, 40), left = random.integer(0, 40), side = random.integer(12, 23);
      sample.targets.classes.data<i64>()[k] = k % 3;
      const std::array<i64, 4> corners = {left, top, left + side, top + side};
      std::ranges::copy(corners, sample.targets.boxes.data<float>() + 4 * k);
      for (i64 y = top; y < top + side; ++y)
        for (i64 x = left; x < left + side; ++x) {
          sample.targets.masks.data<u8>()[(k * kSize + y) * kSize + x] = 1;
          sample.image.data<u8>()[(y * kSize + x) * 3 + k % 3] = 230;
        }
    }
    samples.push_back(std::move(sample));
  }
  return make_batch(std::move(samples));
}

// A step of descent that moves every parameter by 0.02 in all, along its gradient.
inline void descend(nn::Module& model) {
  for (auto& [name, parameter] : nn::named_parameters(model)) {
    double square = 0;
    for (const float g : parameter->grad().span<float>()) square += static_cast<double>(g) * g;
    const float rate = static_cast<float>(0.02 / (std::sqrt(square) + 1e-6));
    for (i64 i = 0; i < parameter->value().numel(); ++i)
      parameter->value().data<float>()[i] -= rate * parameter->grad().data<float>()[i];
  }
}

// The total loss of a batch, then the gradient of every parameter.
inline std::vector<float> loss_and_gradients(Segmenter& model, const Batch& batch) {
  const Var loss = model.losses(batch, {}).total();
  loss.backward();
  std::vector<float> all = {static_cast<float>(loss.value().item())};
  for (const auto& [name, parameter] : nn::named_parameters(model)) {
    const auto gradient = parameter->grad().span<float>();
    all.insert(all.end(), gradient.begin(), gradient.end());
  }
  return all;
}

// The loss after 15 steps of descent on one batch, as a part of the first one.
inline double loss_left_after_descent(Segmenter& model) {
  const Batch batch = rectangles({2, 1});
  double first = 0, last = 0;
  for (int step = 0; step < 15; ++step) {
    model.zero_grad();
    const Var loss = model.losses(batch, {}).total();
    last = loss.value().item();
    if (step == 0) first = last;
    loss.backward();
    descend(model);
  }
  return last / first;
}

}  // namespace tessera::test
