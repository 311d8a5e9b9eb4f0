#include "train/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support/check_error.h"
#include "tests/train/toy.h"
#include "train/ema.h"

using namespace tessera;

namespace {

void set_gradients(test::Toy& toy, float value) {
  for (Var* var : {&toy.weight, &toy.bias, &toy.norm})
    var->grad() = Tensor::from(std::vector<float>{value, -2 * value, 0.5f * value});
}

}  // namespace

TEST_CASE("optimizer: AdamW follows its formula, with the groups' rates and decays") {
  test::Toy toy;
  OptimizerConfig config{.lr = 0.1, .weight_decay = 0.5};
  config.groups.push_back({.match = {"backbone.*"}, .lr_factor = 0.1, .weight_decay = {}, .frozen = {}});
  Optimizer optimizer(config, toy);
  struct Followed {
    Var& var;
    double lr, decay, p, m = 0, v = 0;
  };
  const auto start = [](const Var& var) { return static_cast<double>(var.value().span<float>()[1]); };
  std::vector<Followed> all{{toy.weight, 0.01, 0.5, start(toy.weight)},  // "backbone.": a tenth of the rate
                            {toy.bias, 0.1, 0.5, start(toy.bias)},
                            {toy.norm, 0.1, 0, start(toy.norm)}};  // "norm": not decayed
  for (int t = 1; t <= 3; ++t) {
    const double factor = t == 3 ? 0.5 : 1;  // the schedule's
    const float value = 0.3f * static_cast<float>(t);
    set_gradients(toy, value);
    optimizer.step(factor);
    for (Followed& f : all) {
      const double g = -2 * value, lr = f.lr * factor;
      f.p *= 1 - lr * f.decay;
      f.m = 0.9 * f.m + 0.1 * g;
      f.v = 0.999 * f.v + 0.001 * g * g;
      f.p -= lr / (1 - std::pow(0.9, t)) * f.m / (std::sqrt(f.v) / std::sqrt(1 - std::pow(0.999, t)) + 1e-8);
      CHECK(f.var.value().span<float>()[1] == doctest::Approx(f.p).epsilon(1e-5));
    }
  }
}

TEST_CASE("optimizer: each setting of a parameter comes from the first group that matches its name and gives it") {
  test::Toy toy;
  const float start = toy.bias.value().span<float>()[1];
  // "*bias" is a pattern of the whole name, "as" a part of one: the first decides the rate, the second the decay.
  Optimizer optimizer({.kind = OptimizerKind::kSgd,
                       .lr = 1,
                       .weight_decay = 0.25,
                       .momentum = 0,
                       .groups = {{.match = {"nor?", "*bias"}, .lr_factor = 0.5, .weight_decay = {}, .frozen = {}},
                                  {.match = {"as"}, .lr_factor = 7, .weight_decay = 0.125, .frozen = {}},
                                  {.match = {"kbone"}, .lr_factor = {}, .weight_decay = {}, .frozen = true}}},
                      toy);
  CHECK(!toy.weight.requires_grad());
  toy.bias.grad() = Tensor::zeros({3});
  toy.norm.grad() = Tensor::zeros({3});
  const float norm = toy.norm.value().span<float>()[1];
  optimizer.step(1);
  CHECK(toy.bias.value().span<float>()[1] == doctest::Approx(start * (1 - 0.5 * 0.125)));
  CHECK(toy.norm.value().span<float>()[1] == doctest::Approx(norm * (1 - 0.5 * 0.25)));
  CHECK(optimizer.state().size() == 3);  // the steps, and a moment each of two parameters
}

TEST_CASE("optimizer: what groups decide is counted, and one that decides nothing is an error") {
  test::Toy toy;
  OptimizerConfig config;
  config.groups.push_back({.match = {"backbone.*", "bias"}, .lr_factor = 0.1, .weight_decay = {}, .frozen = {}});
  config.groups.push_back({.match = {"*"}, .lr_factor = 0.5, .weight_decay = 0.1, .frozen = {}});
  CHECK(apply_groups(config, toy) == std::vector<i64>{3, 6, 9});  // the last: a rate of one, a decay of two
  config.groups[1].match = {"backbnoe.*"};
  CHECK_ERROR(apply_groups(config, toy),
              "optimizer.groups[1] (match = [backbnoe.*]) decides nothing: no parameter's name matches (they are like "
              "backbone.weight)");
  config.groups[1].match = {"a*e.*"};  // the whole name begins with b
  CHECK_ERROR(apply_groups(config, toy), "optimizer.groups[1]");
  config.groups[1] = config.groups[2];
  CHECK_ERROR(apply_groups(config, toy), "optimizer.groups[2] (match = [*]) decides nothing");
  config.groups = {{.match = {"norm"}, .lr_factor = {}, .weight_decay = {}, .frozen = {}}};
  CHECK_ERROR(apply_groups(config, toy), "it has no setting");
  config.groups = OptimizerConfig().groups;
  struct NoNorm : nn::Module {
    Var weight = Var(Tensor::zeros({2}), true);
    void visit(nn::Visitor& v) override { v.parameter("weight", weight); }
  } plain;
  CHECK(apply_groups(config, plain) == std::vector<i64>{0});  // the default spares norms, where there are any
}

TEST_CASE("optimizer: SGD follows its formula; a parameter without a gradient stays") {
  test::Toy toy;
  Optimizer optimizer({.kind = OptimizerKind::kSgd, .lr = 0.1, .weight_decay = 0.01, .momentum = 0.9}, toy);
  const float bias = toy.bias.value().span<float>()[0];
  double p = toy.weight.value().span<float>()[0], m = 0;
  for (int t = 1; t <= 3; ++t) {
    set_gradients(toy, 0.2f);
    toy.bias.zero_grad();
    optimizer.step(1);
    m = 0.9 * m + 0.2f + 0.01 * p;
    p -= 0.1 * m;
    CHECK(toy.weight.value().span<float>()[0] == doctest::Approx(p).epsilon(1e-5));
  }
  CHECK(toy.bias.value().span<float>()[0] == bias);
}

TEST_CASE("optimizer: clipping scales all gradients to the wanted norm, shared memory once") {
  test::Toy toy;
  Optimizer optimizer({.kind = OptimizerKind::kSgd, .lr = 1, .weight_decay = 0, .clip_norm = 1, .momentum = 0}, toy);
  // What an update takes off element i of a parameter.
  const auto taken = [&](const Var& parameter, size_t i, double norm) {
    const Tensor before = parameter.value().clone();
    const auto clipped = optimizer.clip();
    CHECK(clipped.norm.item() == doctest::Approx(norm));
    optimizer.step(1, clipped.scale);
    return before.span<float>()[i] - parameter.value().span<float>()[i];
  };
  const Tensor shared = Tensor::from(std::vector<float>{3, 0, 0});
  toy.weight.grad() = shared;
  toy.bias.grad() = shared;
  toy.norm.grad() = Tensor::from(std::vector<float>{0, 4, 0});
  const double norm = std::sqrt(34.0);
  CHECK(taken(toy.weight, 0, norm) == doctest::Approx(3 / norm).epsilon(1e-5));
  CHECK(taken(toy.bias, 0, norm) == doctest::Approx(3 / norm).epsilon(1e-5));
  CHECK(taken(toy.norm, 1, norm) == doctest::Approx(4 / norm).epsilon(1e-5));
  CHECK(shared.span<float>()[0] == 3);
  set_gradients(toy, 0.01f);  // below the limit: as they are
  CHECK(optimizer.clip().scale.item() == 1);
}

TEST_CASE("optimizer: a gradient that is not finite changes nothing, does not count and is named") {
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kSgd}) {
    test::Toy toy;
    Optimizer optimizer({.kind = kind, .clip_norm = 1}, toy);
    Ema ema(toy, 0.5);
    toy.norm.zero_grad();
    const auto everything = [&] {
      std::vector<std::vector<std::byte>> bytes;
      std::vector<NamedTensor> all = optimizer.state();
      for (const NamedTensor& entry : nn::state_dict(toy)) all.push_back(entry);
      for (const NamedTensor& entry : ema.state()) all.push_back(entry);
      for (const NamedTensor& entry : all) {
        const auto* first = static_cast<const std::byte*>(entry.tensor.raw());
        bytes.emplace_back(first, first + entry.tensor.bytes());
      }
      return bytes;
    };
    const auto update = [&](const Tensor& watched) {
      const auto [norm, scale] = optimizer.clip(watched);
      optimizer.step(1, scale);
      ema.update(1, scale);
      return scale.item();
    };
    set_gradients(toy, 1);
    toy.norm.zero_grad();
    CHECK(std::isfinite(update({})));
    const auto before = everything();
    toy.bias.grad().span<float>()[2] = std::numeric_limits<float>::infinity();
    CHECK(std::isnan(update({})));
    CHECK(everything() != before);  // the count
    optimizer.take_back();
    CHECK(everything() == before);
    CHECK(optimizer.first_non_finite() == "bias");
    set_gradients(toy, 1);
    toy.norm.zero_grad();
    CHECK(std::isnan(update(Tensor::from(std::vector<float>{1, NAN, 2}))));  // a loss, say
    optimizer.take_back();
    CHECK(everything() == before);
    CHECK(optimizer.first_non_finite() == "all parameters together");
    CHECK(std::isfinite(update(Tensor::from(std::vector<float>{1, 2}))));
    CHECK(everything() != before);
  }
}

TEST_CASE("optimizer: frozen parameters are left out, and nothing to train is an error") {
  test::Toy toy;
  toy.weight.set_requires_grad(false);
  const Optimizer optimizer({}, toy);
  for (const NamedTensor& entry : optimizer.state()) CHECK(entry.name.find("weight") == std::string::npos);
  toy.bias.set_requires_grad(false);
  toy.norm.set_requires_grad(false);
  CHECK_ERROR(Optimizer({}, toy), "no parameter requires a gradient");
}

TEST_CASE("ema: the average follows the weights and changes places with them") {
  test::Toy toy;
  Ema ema(toy, 0.5);
  const float before = toy.weight.value().span<float>()[0];
  toy.weight.value().fill(10);
  ema.update(1);  // d = min(0.5, 2 / 11)
  const double average = before + (1 - 2.0 / 11) * (10 - before);
  ema.swap();
  CHECK(toy.weight.value().span<float>()[0] == doctest::Approx(average).epsilon(1e-6));
  ema.swap();
  CHECK(toy.weight.value().span<float>()[0] == 10);
}

TEST_CASE("ema: an evaluation that fails leaves the weights as they were") {
  test::Toy toy;
  Ema ema(toy, 0.5);
  toy.weight.value().fill(10);
  const auto evaluation = [&] {
    const AveragedWeights averaged(&ema);
    CHECK(toy.weight.value().span<float>()[0] != 10);
    fail("no such image");
  };
  CHECK_ERROR(evaluation(), "no such image");
  CHECK(toy.weight.value().span<float>()[0] == 10);
}
