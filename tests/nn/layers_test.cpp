// Layers: what each computes, on values small enough to check by hand or against the separate operators.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/norm.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "nn/conv_norm.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

Var random_var(const Shape& shape, u64 seed, bool requires_grad = false) {
  Tensor x = Tensor::empty(shape);
  Random(seed).fill_normal(x, 0, 1);
  return Var(x, requires_grad);
}

double worst_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  for (i64 i = 0; i < a.numel(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a.data<float>()[i]) - b.data<float>()[i]));
  return worst;
}

// Gives every state tensor of the norm values of its own.
void disturb(nn::Module& norm, u64 seed) {
  for (const nn::StateEntry& entry : nn::state(norm)) {
    Tensor t = entry.tensor;
    Random(seed++).fill_uniform(t, 0.5, 1.5);
  }
}

}  // namespace

TEST_CASE("Linear: y = x w^T + b over the last dimension") {
  Random random(1);
  nn::Linear layer(2, 1, random);
  layer.weight.value().copy_from(Tensor::from(std::vector<float>{2, 3}, {1, 2}));
  layer.bias.value().fill(0.5);
  const Var y = layer(Var(Tensor::from(std::vector<float>{1, 1, -1, 2}, {1, 2, 2})));
  CHECK(y.shape() == Shape{1, 2, 1});
  CHECK(y.value().data<float>()[0] == doctest::Approx(5.5));
  CHECK(y.value().data<float>()[1] == doctest::Approx(4.5));
}

TEST_CASE("Conv2d: default initial values lie within 1 / sqrt(fan_in)") {
  Random random(1);
  const nn::Conv2d conv({.in = 8, .out = 4, .kernel = 3, .groups = 2}, random);
  CHECK(conv.weight.shape() == Shape{4, 3, 3, 4});
  for (const float w : conv.weight.value().span<float>()) CHECK(std::abs(w) <= 1 / std::sqrt(36.0f));
  CHECK_ERROR(nn::Conv2d({.in = 3, .out = 4, .groups = 2}, random), "do not divide into 2 groups");
}

TEST_CASE("ConvNorm: folding equals convolution, normalisation and ReLU one after the other") {
  for (const nn::Deform deform : {nn::Deform::kNone, nn::Deform::kV1, nn::Deform::kV2})
    for (const nn::Norm kind : {nn::Norm::kFrozenBatch, nn::Norm::kBatch}) {
      CAPTURE(static_cast<int>(deform));
      CAPTURE(static_cast<int>(kind));
      Random random(4);
      nn::ConvNorm unit({.conv_name = "conv1",
                         .norm_name = "bn1",
                         .in = 5,
                         .out = 6,
                         .kernel = 3,
                         .stride = 2,
                         .norm = kind,
                         .deform = deform},
                        random);
      std::visit([](nn::Module& norm) { disturb(norm, 20); }, unit.norm);
      unit.eval();

      std::map<std::string, nn::StateEntry> state;
      for (const nn::StateEntry& entry : nn::state(unit)) state.emplace(entry.name, entry);
      CHECK(state.contains("conv1_offset.weight") == (deform != nn::Deform::kNone));
      const Var x = random_var({2, 7, 8, 5}, 9);
      Var weight = *state.at("conv1.weight").parameter;
      Var y;  // zero offsets: an ordinary convolution, with v2 at half its strength
      y = conv2d(x, weight, Var(), {.stride = 2, .padding = 1});
      if (deform == nn::Deform::kV2) y = y * 0.5;
      Tensor mean = state.at("bn1.running_mean").tensor, var = state.at("bn1.running_var").tensor;
      y = relu(batch_norm(y, Var(state.at("bn1.weight").tensor), Var(state.at("bn1.bias").tensor), mean, var, false,
                          0.1, 1e-5));
      CHECK(worst_difference(unit(x).value(), y.value()) < 1e-5);

      sum(unit(x)).backward();
      for (const auto& [name, entry] : state)
        if (entry.parameter) CHECK(entry.parameter->grad().defined());
    }
}

TEST_CASE("ConvNorm: in training mode the batch is normalised and the running statistics follow") {
  Random random(4);
  nn::ConvNorm unit({.in = 3, .out = 2, .norm = nn::Norm::kBatch, .activation = ops::Activation::kNone}, random);
  const Tensor y = unit(random_var({2, 6, 6, 3}, 5)).value();
  for (i64 c = 0; c < 2; ++c) {
    double sum = 0, square = 0;
    for (i64 i = c; i < y.numel(); i += 2) {
      sum += y.data<float>()[i];
      square += static_cast<double>(y.data<float>()[i]) * y.data<float>()[i];
    }
    CHECK(sum / 72 == doctest::Approx(0).epsilon(1e-5));
    CHECK(square / 72 == doctest::Approx(1).epsilon(1e-3));
  }
  CHECK(std::get<nn::BatchNorm2d>(unit.norm).running_mean.data<float>()[0] != 0);
}

TEST_CASE("DeformConv2d: offsets start at zero, so v1 begins as its plain convolution") {
  Random random(6);
  const nn::Conv2dConfig config{.in = 4, .out = 3, .kernel = 3, .padding = 1, .activation = ops::Activation::kRelu};
  const nn::OffsetConv offset(config, nn::Deform::kV1, random);
  nn::DeformConv2d deformable(config, random);
  nn::Conv2d plain(config, random);
  plain.weight = deformable.weight;
  plain.bias = deformable.bias;
  const Var x = random_var({1, 5, 6, 4}, 8);
  CHECK(worst_difference(deformable(x, offset(x)).value(), plain(x).value()) < 1e-5);
  CHECK_ERROR(nn::OffsetConv(config, nn::Deform::kNone, random), "v1 or v2");
}
