#include "nn/init.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/check_error.h"

using namespace tessera;

namespace {

struct Moments {
  double mean = 0, std = 0, largest = 0;
};
Moments moments(const Var& weight) {
  Moments m;
  double square = 0;
  for (const float value : weight.value().span<float>()) {
    m.mean += value;
    square += static_cast<double>(value) * value;
    m.largest = std::max(m.largest, std::abs(static_cast<double>(value)));
  }
  const double n = static_cast<double>(weight.value().numel());
  m.mean /= n;
  m.std = std::sqrt(square / n - m.mean * m.mean);
  return m;
}

}  // namespace

TEST_CASE("init: spreads follow the fans") {
  Var weight(Tensor::empty({64, 3, 3, 32}));  // fan_in 288, fan_out 576
  Var bias(Tensor::full({64}, 7));
  Random random(1);
  const auto check = [&](double std, double bound) {
    const Moments m = moments(weight);
    CHECK(std::abs(m.mean) < 0.02 * std);
    CHECK(m.std == doctest::Approx(std).epsilon(0.02));
    if (bound > 0) CHECK(m.largest <= bound);
    if (bound > 0) CHECK(m.largest > 0.99 * bound);
  };
  nn::init_c2_msra(weight, bias, random);
  check(std::sqrt(2.0 / 576), 0);
  CHECK(bias.value().data<float>()[63] == 0);
  nn::init_c2_xavier(weight, bias, random);
  check(std::sqrt(1.0 / 288), std::sqrt(3.0 / 288));
  nn::init_kaiming_normal(weight, nn::Fan::kIn, std::sqrt(2.0), random);
  check(std::sqrt(2.0 / 288), 0);
  nn::init_kaiming_uniform(weight, nn::Fan::kOut, 1, random);
  check(std::sqrt(1.0 / 576), std::sqrt(3.0 / 576));
  nn::init_xavier_uniform(weight, 1, random);
  check(std::sqrt(2.0 / 864), std::sqrt(6.0 / 864));
  nn::init_normal(weight, 0.01, random);
  check(0.01, 0);
}

TEST_CASE("init: the prior bias is the logit of the probability") {
  CHECK(nn::prior_bias(0.01) == doctest::Approx(-4.59512));
  CHECK(nn::prior_bias(0.5) == doctest::Approx(0));
  CHECK_ERROR(nn::prior_bias(0), "between 0 and 1");
}

TEST_CASE("init: fans need a matrix") {
  Var bias(Tensor::empty({4}));
  Random random(1);
  CHECK_ERROR(nn::init_kaiming_normal(bias, nn::Fan::kIn, 1, random), "two or more dimensions, got [4]");
}
