// What the op cases of the pointwise operators do not cover: the accuracy of the f32 functions, and operators without
// a derivative.
#include "ops/pointwise.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "tests/ops/op_case.h"
#include "tests/support/check_error.h"

namespace tessera::ops {

namespace {

// Every 997th float there is from lo to hi, both signs of zero included; the step is prime to any structure in them.
std::vector<float> floats(float lo, float hi, u32 step = 997) {
  std::vector<float> list;
  const auto add = [&](float x) {
    if (lo <= x && x <= hi) list.push_back(x);
  };
  for (u32 bits = 0; bits < 0x7f800000U; bits += step) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    add(x);
    add(-x);
  }
  return list;
}

void check_accuracy(const char* name, Tensor (*op)(const Tensor&), const std::function<double(double)>& exact, float lo,
                    float hi, double tolerance) {
  const Tensor x = Tensor::from(floats(lo, hi));
  const Tensor y = op(x);
  double worst = 0;
  float where = 0;
  for (i64 i = 0; i < x.numel(); ++i) {
    const double expected = exact(static_cast<double>(x.data<float>()[i]));
    // Below the smallest normal number digits are lost by nature.
    const double scale = std::max(std::abs(expected), 1.17549435e-38);
    const double error = std::abs(static_cast<double>(y.data<float>()[i]) - expected) / scale;
    if (!(error <= worst)) worst = error, where = x.data<float>()[i];
  }
  INFO(std::string(name), ": relative error ", worst, " at ", where);
  CHECK(worst <= tolerance);
}

double phi(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

float at(Tensor (*op)(const Tensor&), float x) {
  return op(Tensor::from(std::vector<float>{x})).data<float>()[0];
}

}  // namespace

TEST_CASE("pointwise: on the CPU f32 functions are within a few units in the last place, denormals included") {
  const float most = 3.4e38F;
  check_accuracy(
      "exp", exp, [](double x) { return std::exp(x); }, -103, 88.7F, 2e-7);
  check_accuracy(
      "log", log, [](double x) { return std::log(x); }, 1e-45F, most, 2e-7);
  check_accuracy(
      "sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -103, most, 5e-7);
  check_accuracy(
      "tanh", tanh, [](double x) { return std::tanh(x); }, -most, most, 5e-7);
  check_accuracy(
      "softplus", softplus, [](double x) { return x < 0 ? std::log1p(std::exp(x)) : x + std::log1p(std::exp(-x)); },
      -103, most, 5e-7);
  check_accuracy(
      "silu", silu, [](double x) { return x / (1 + std::exp(-x)); }, -87, most, 5e-7);
  check_accuracy(
      "sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0, most, 1e-7);
  check_accuracy(
      "gelu", gelu, [](double x) { return x * phi(x); }, -5, most, 1e-6);
  // further out x^2 / 2 has too few digits for its exponential; the value itself is below 1e-6
  check_accuracy(
      "gelu", gelu, [](double x) { return x * phi(x); }, -12, -5, 1e-5);
}

TEST_CASE("pointwise: f32 functions keep the bounds of their contract on every device, far tails included") {
  struct Bound {
    const char* name;
    Tensor (*op)(const Tensor&);
    double (*exact)(double);
    float lo, hi;
    double relative, absolute = 1.2e-38;
  };
  const float most = 3.4e38F;
  const auto gelu_of = [](double x) { return x * phi(x); };
  const auto silu_of = [](double x) { return x / (1 + std::exp(-x)); };
  const Bound bounds[] = {
      {"exp", exp, [](double x) { return std::exp(x); }, -most, 88.7F, 1e-6},
      {"log", log, [](double x) { return std::log(x); }, 1e-45F, most, 1e-6},
      {"sigmoid", sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -most, most, 1e-6},
      {"tanh", tanh, [](double x) { return std::tanh(x); }, -most, most, 1e-6},
      {"softplus", softplus, [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }, -most,
       most, 1e-6},
      {"sqrt", sqrt, [](double x) { return std::sqrt(x); }, 0, most, 1e-6},
      {"gelu", gelu, gelu_of, -2, most, 1e-6},
      {"gelu", gelu, gelu_of, -1e18F, -2, 2e-5},
      {"silu", silu, silu_of, -88, most, 1e-6},
      {"silu", silu, silu_of, -most, -88, 1e-6, 3e-37},
  };
  for (const Device device : test::registered_devices())
    for (const Bound& bound : bounds) {
      const Tensor x = Tensor::from(floats(bound.lo, bound.hi, 9973));
      const Tensor y = bound.op(x.to(device)).to_host();
      i64 wrong = 0;
      float where = 0;
      for (i64 i = 0; i < x.numel(); ++i) {
        const double expected = bound.exact(static_cast<double>(x.data<float>()[i]));
        const double error = std::abs(static_cast<double>(y.data<float>()[i]) - expected);
        if (!(error <= bound.relative * std::abs(expected) + bound.absolute)) ++wrong, where = x.data<float>()[i];
      }
      INFO(std::string(bound.name), " on ", device.str(), " from ", bound.lo, " to ", bound.hi, ": at ", where);
      CHECK(wrong == 0);
    }
}

TEST_CASE("pointwise: f32 functions overflow and underflow where the exact ones do") {
  CHECK(at(exp, 88.73F) == INFINITY);
  CHECK(at(exp, 1e30F) == INFINITY);
  CHECK(at(exp, -104) == 0);
  CHECK(at(exp, -103) > 0);
  CHECK(at(exp, 0) == 1);
  CHECK(at(log, 1) == 0);
  CHECK(at(log, 0) == -INFINITY);
  CHECK(std::isnan(at(log, -1e-40F)));
  CHECK(at(sigmoid, 1e30F) == 1);
  CHECK(at(sigmoid, -1e30F) == 0);
  CHECK(at(tanh, 1e30F) == 1);
  CHECK(at(tanh, -1e30F) == -1);
  CHECK(at(softplus, 1e30F) == 1e30F);
  CHECK(at(softplus, -1e30F) == 0);
  CHECK(at(gelu, 1e30F) == 1e30F);
  CHECK(at(gelu, -1e18F) == 0);
}

TEST_CASE("pointwise: backwards at kinks, and with NaN") {
  const Tensor x = Tensor::from(std::vector<float>{-1, 0, 3, 6, 7, NAN}), gy = Tensor::full({6}, 2);
  const auto same = [](const Tensor& a, std::vector<float> b) {
    return std::memcmp(a.raw(), b.data(), a.bytes()) == 0;
  };
  CHECK(same(relu_backward(gy, relu(x)), {0, 0, 2, 2, 2, 0}));
  CHECK(same(relu6_backward(gy, relu6(x)), {0, 0, 2, 0, 0, 0}));
  CHECK(same(clamp_min_backward(gy, x, 3), {0, 0, 2, 2, 2, 0}));
  CHECK_ERROR(relu_backward(gy, Tensor::zeros({5})), "relu_backward: shapes [6] and [5] differ");
}

TEST_CASE("pointwise: greater_equal gives u8, and NaN is not greater") {
  const Tensor y = greater_equal(Tensor::from(std::vector<float>{-1, 0.5F, 0.25F, NAN, INFINITY}), 0.5);
  CHECK(y.dtype() == DType::kU8);
  CHECK(std::vector<u8>(y.span<u8>().begin(), y.span<u8>().end()) == std::vector<u8>{0, 1, 0, 0, 1});
}

TEST_CASE("pointwise: broadcast_to repeats and refuses what does not fit") {
  const Tensor x = Tensor::from(std::vector<float>{1, 2});
  const Tensor y = broadcast_to(x.reshape({2, 1}), {2, 2, 3});
  const std::vector<float> expected = {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2};
  CHECK(std::equal(expected.begin(), expected.end(), y.data<float>()));
  CHECK_ERROR(broadcast_to(x, {2, 3}), "broadcast_to: shapes [2] and [2, 3] do not broadcast");
  CHECK_ERROR(broadcast_to(x, {1}), "broadcast_to: [2] cannot be repeated to [1]");
}

TEST_CASE("pointwise: add_into adds in place and wants equal shapes") {
  Tensor target = Tensor::full({40000}, 1), term = Tensor::full({40000}, 2);
  add_into(target, term);
  add_into(target, target);
  for (float value : target.span<float>()) REQUIRE(value == 6);
  CHECK_ERROR(add_into(target, Tensor::zeros({1})), "add_into: shapes [40000] and [1] differ");
}

TEST_CASE("pointwise: results do not depend on the number of threads") {
  std::vector<float> values(200003);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1013) * 0.01F - 5;
  const Tensor x = Tensor::from(values), bias = Tensor::from(std::vector<float>{1, 2, 3}).reshape({3, 1});
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Tensor one = gelu(x), one_sum = add(x, bias);
  omp_set_num_threads(3);
  const Tensor three = gelu(x), three_sum = add(x, bias);
  omp_set_num_threads(threads);
  CHECK(std::memcmp(one.raw(), three.raw(), one.bytes()) == 0);
  CHECK(std::memcmp(one_sum.raw(), three_sum.raw(), one_sum.bytes()) == 0);
}

}  // namespace tessera::ops
