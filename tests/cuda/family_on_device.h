// What every family has to show on another device than the CPU.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "tests/cuda/other_device.h"
#include "tests/models/rectangles.h"
#include "train/optimizer.h"

namespace tessera::test {

// The losses of each of `steps` updates, term by term. Every step is an epoch of its own.
inline std::vector<double> train_steps(Segmenter& model, int steps) {
  Optimizer optimizer({.kind = OptimizerKind::kSgd, .lr = 0.01, .clip_norm = 1}, model);
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const Losses now = model.losses(rectangles({2, 0, 3}), {.step = step, .epoch = static_cast<double>(step)});
    now.total().backward();
    optimizer.step(1, optimizer.clip().scale);
    optimizer.zero_grad();
    for (const LossTerm& term : now.terms) losses.push_back(term.value.value().item());
  }
  return losses;
}

inline void check_same_losses(Segmenter& here, Segmenter& there) {
  const std::vector<double> a = train_steps(here, 2), b = train_steps(there, 2);
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(b[i] == doctest::Approx(a[i]).epsilon(kNearCpu));
}

// With bf16 activations the loss is near that of f32, and gradients are f32.
inline void check_mixed_precision(Segmenter& model) {
  const auto loss_of = [&](DType dtype) {
    model.training_dtype = dtype;
    model.zero_grad();
    const Var loss = model.losses(rectangles({2, 1}), {}).total();
    loss.backward();
    for (const auto& [name, parameter] : nn::named_parameters(model)) {
      CAPTURE(name);
      CHECK(parameter->grad().dtype() == DType::kF32);
    }
    return loss.value().item();
  };
  CHECK(loss_of(DType::kBF16) == doctest::Approx(loss_of(DType::kF32)).epsilon(0.1));
}

}  // namespace tessera::test
