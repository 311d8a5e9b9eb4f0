#include "ops/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

// Three steps on four values; the expected parameters are those of PyTorch's optimisers in f64.
const std::vector<double> kStart = {1, -2, 0.5, 4};
const std::vector<std::vector<double>> kGradients = {{0.5, -1.5, 0.25, 0}, {1, 0.125, -2, 0}, {-0.75, 0.5, 0.5, 3}};

template <class Step>
void check_steps(Step&& step, const std::vector<std::vector<double>>& expected) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    Tensor parameter = Tensor::from(kStart).to(dtype).clone();
    for (size_t k = 0; k < expected.size(); ++k) {
      step(parameter, Tensor::from(kGradients[k]).to(dtype), static_cast<i64>(k + 1));
      const Tensor got = parameter.to(DType::kF64);
      for (size_t i = 0; i < kStart.size(); ++i)
        CHECK(std::abs(got.data<double>()[i] - expected[k][i]) < (dtype == DType::kF64 ? 1e-14 : 1e-6));
    }
  }
}

void adamw(const Tensor& parameter, const Tensor& gradient, const Tensor& m, const Tensor& v,
           const ops::AdamWParams& params) {
  std::vector<ops::AdamWUpdate> updates{{parameter, gradient, m, v, params}};
  ops::adamw_step(updates);
}

void sgd(const Tensor& parameter, const Tensor& gradient, const Tensor& buffer, const ops::SgdParams& params) {
  std::vector<ops::SgdUpdate> updates{{parameter, gradient, buffer, params}};
  ops::sgd_step(updates);
}

void lerp(const Tensor& target, const Tensor& source, double weight) {
  std::vector<ops::LerpUpdate> updates{{target, source}};
  ops::lerp_into(updates, weight);
}

}  // namespace

TEST_CASE("adamw_step: three steps are PyTorch's") {
  Tensor m, v;
  check_steps(
      [&](Tensor& parameter, const Tensor& gradient, i64 step) {
        if (step == 1) m = Tensor::zeros({4}, parameter.dtype()), v = Tensor::zeros({4}, parameter.dtype());
        adamw(parameter, gradient, m, v,
              {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.05, .step = step});
      },
      {{0.89519960079840322, -1.8900666222518321, 0.39789840637450197, 3.98},
       {0.7932121991465052, -1.8238349621231555, 0.46516960528320228, 3.9601000000000002},
       {0.76984495496499972, -1.7982869832953063, 0.49492550973509042, 3.8711198165135507}});
}

TEST_CASE("sgd_step: three steps with momentum are PyTorch's, whatever the buffer held before the first") {
  Tensor buffer;
  check_steps(
      [&](Tensor& parameter, const Tensor& gradient, i64 step) {
        if (step == 1) buffer = Tensor::full({4}, NAN, parameter.dtype());
        sgd(parameter, gradient, buffer, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05, .first_step = step == 1});
      },
      {{0.945, -1.84, 0.4725, 3.98},
       {0.790775, -1.6993, 0.6453875, 3.9421},
       {0.723018625, -1.6141735, 0.7477593125, 3.5882795}});
}

TEST_CASE("sgd_step: without momentum no buffer is needed") {
  Tensor none;
  check_steps([&](Tensor& parameter, const Tensor& gradient,
                  i64) { sgd(parameter, gradient, none, {.lr = 0.1, .momentum = 0, .weight_decay = 0.05}); },
              {{0.945, -1.84, 0.4725, 3.98},
               {0.840275, -1.8433, 0.6701375, 3.9601},
               {0.911073625, -1.8840835, 0.6167868125, 3.6402995}});
}

TEST_CASE("lerp_into: in place, on many values and on none") {
  for (const i64 count : {i64{0}, i64{1}, i64{100003}}) {
    const Tensor target = Tensor::full({count}, 2), source = Tensor::full({count}, 8);
    lerp(target, source, 0.25);
    for (const float x : target.span<float>()) REQUIRE(x == 3.5F);
  }
}

TEST_CASE("optimizer: tensors that do not fit the parameter are refused") {
  const Tensor p = Tensor::zeros({4}), m = Tensor::zeros({4}), v = Tensor::zeros({4}), none;
  const Tensor g = Tensor::zeros({4}), integers = Tensor::zeros({4}, DType::kI64);
  CHECK_ERROR(adamw(p, Tensor::zeros({3}), m, v, {}), "adamw_step: gradient 0 is f32 [3], the parameter f32 [4]");
  CHECK_ERROR(adamw(p, g.to(DType::kF64), m, v, {}), "adamw_step: gradient 0 is f64 [4]");
  CHECK_ERROR(adamw(p, g, none, v, {}), "adamw_step: m 0 is undefined");
  CHECK_ERROR(adamw(p, g, m, v, {.step = 0}), "adamw_step: steps count from 1, got 0");
  CHECK_ERROR(adamw(p, g, m, v, {.beta1 = 1}), "adamw_step: betas must lie in [0, 1)");
  CHECK_ERROR(sgd(p, g, none, {}), "sgd_step: momentum_buffer 0 is undefined");
  CHECK_ERROR(lerp(p, Tensor::zeros({5}), 0.5), "lerp_into: source 0 is f32 [5]");
  CHECK_ERROR(lerp(integers, integers, 0.5), "lerp_into: dtype i64 is not supported");
  std::vector<ops::LerpUpdate> second{{p, g}, {p, Tensor::zeros({5})}};
  CHECK_ERROR(ops::lerp_into(second, 0.5), "lerp_into: source 1 is f32 [5], the target f32 [4]");
  CHECK_ERROR(ops::lerp_into(std::span(second).first(1), 0.5, Tensor::zeros({1})),
              "lerp_into: the scale must be one f64, got f32 [1]");
  CHECK_ERROR(ops::clip_grad_norm(Tensor::zeros({1}), 1), "the sum of squares must be one f64, got f32 [1]");
}

}  // namespace tessera::test
