#include "nn/init.h"

#include <cmath>

namespace tessera::nn {

namespace {

double fan_of(const Var& weight, Fan fan) {
  const Shape& shape = weight.shape();
  TESSERA_CHECK(shape.rank() >= 2 && shape.numel() > 0, "init: fans need a weight of two or more dimensions, got {}",
                shape);
  const i64 fan_in = shape.numel(1, shape.rank());
  return static_cast<double>(fan == Fan::kIn ? fan_in : shape[0] * fan_in / shape[-1]);
}

void init_bias(Var& bias) {
  if (bias) bias.value().fill(0);
}

}  // namespace

void init_uniform(Var& weight, double bound, Random& random) {
  random.fill_uniform(weight.value(), -bound, bound);
}
void init_normal(Var& weight, double std, Random& random) {
  random.fill_normal(weight.value(), 0, std);
}
void init_constant(Var& weight, double value) {
  weight.value().fill(value);
}

void init_kaiming_uniform(Var& weight, Fan fan, double gain, Random& random) {
  init_uniform(weight, gain * std::sqrt(3 / fan_of(weight, fan)), random);
}

void init_kaiming_normal(Var& weight, Fan fan, double gain, Random& random) {
  init_normal(weight, gain / std::sqrt(fan_of(weight, fan)), random);
}

void init_xavier_uniform(Var& weight, double gain, Random& random) {
  init_uniform(weight, gain * std::sqrt(6 / (fan_of(weight, Fan::kIn) + fan_of(weight, Fan::kOut))), random);
}

void init_c2_msra(Var& weight, Var& bias, Random& random) {
  init_kaiming_normal(weight, Fan::kOut, std::sqrt(2.0), random);
  init_bias(bias);
}

void init_c2_xavier(Var& weight, Var& bias, Random& random) {
  init_kaiming_uniform(weight, Fan::kIn, 1, random);
  init_bias(bias);
}

double prior_bias(double probability) {
  TESSERA_CHECK(probability > 0 && probability < 1, "prior_bias: {} is not between 0 and 1", probability);
  return -std::log((1 - probability) / probability);
}

}  // namespace tessera::nn
