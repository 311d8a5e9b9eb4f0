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

}  // namespace

TEST_CASE("adamw_step: three steps are PyTorch's") {
  Tensor m, v;
  check_steps(
      [&](Tensor& parameter, const Tensor& gradient, i64 step) {
        if (step == 1) m = Tensor::zeros({4}, parameter.dtype()), v = Tensor::zeros({4}, parameter.dtype());
        ops::adamw_step(parameter, gradient, m, v,
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
        ops::sgd_step(parameter, gradient, buffer,
                      {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05, .first_step = step == 1});
      },
      {{0.945, -1.84, 0.4725, 3.98},
       {0.790775, -1.6993, 0.6453875, 3.9421},
       {0.723018625, -1.6141735, 0.7477593125, 3.5882795}});
}

TEST_CASE("sgd_step: without momentum no buffer is needed") {
  Tensor none;
  check_steps([&](Tensor& parameter, const Tensor& gradient,
                  i64) { ops::sgd_step(parameter, gradient, none, {.lr = 0.1, .momentum = 0, .weight_decay = 0.05}); },
              {{0.945, -1.84, 0.4725, 3.98},
               {0.840275, -1.8433, 0.6701375, 3.9601},
               {0.911073625, -1.8840835, 0.6167868125, 3.6402995}});
}

TEST_CASE("scale_into and lerp_into: in place, on many values and on none") {
  for (const i64 count : {i64{0}, i64{1}, i64{100003}}) {
    Tensor target = Tensor::full({count}, 4), source = Tensor::full({count}, 8);
    ops::scale_into(target, 0.5);
    for (const float x : target.span<float>()) REQUIRE(x == 2);
    ops::lerp_into(target, source, 0.25);
    for (const float x : target.span<float>()) REQUIRE(x == 3.5F);
  }
}

TEST_CASE("optimizer: tensors that do not fit the parameter are refused") {
  Tensor p = Tensor::zeros({4}), m = Tensor::zeros({4}), v = Tensor::zeros({4}), none;
  const Tensor g = Tensor::zeros({4});
  CHECK_ERROR(ops::adamw_step(p, Tensor::zeros({3}), m, v, {}),
              "adamw_step: gradient is f32 [3], the parameter f32 [4]");
  CHECK_ERROR(ops::adamw_step(p, g.to(DType::kF64), m, v, {}), "adamw_step: gradient is f64 [4]");
  CHECK_ERROR(ops::adamw_step(p, g, none, v, {}), "adamw_step: m is undefined");
  CHECK_ERROR(ops::adamw_step(p, g, m, v, {.step = 0}), "adamw_step: steps count from 1, got 0");
  CHECK_ERROR(ops::adamw_step(p, g, m, v, {.beta1 = 1}), "adamw_step: betas must lie in [0, 1)");
  CHECK_ERROR(ops::sgd_step(p, g, none, {}), "sgd_step: momentum_buffer is undefined");
  CHECK_ERROR(ops::lerp_into(p, Tensor::zeros({5}), 0.5), "lerp_into: source is f32 [5]");
  Tensor integers = Tensor::zeros({4}, DType::kI64);
  CHECK_ERROR(ops::scale_into(integers, 2), "scale_into: dtype i64 is not supported");
}

}  // namespace tessera::test
