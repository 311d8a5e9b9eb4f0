#include "nn/ms_deform_attn.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/work.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

const std::vector<ops::LevelSize> kLevels = {{4, 6}, {2, 3}};

nn::MsDeformAttn small_layer(nn::MsDeformAttnConfig::Names names = {}) {
  Random random(1);
  return nn::MsDeformAttn({.channels = 8, .heads = 4, .levels = 2, .points = 3, .names = names}, random);
}

Var random_var(const Shape& shape, u64 seed, double lo, double hi) {
  Tensor x = Tensor::empty(shape);
  Random(seed).fill_uniform(x, lo, hi);
  return Var(x);
}

struct Counting : WorkListener {
  void ran(const char*, const Work& done, const Shape&) override { work += done; }
  Work work;
};

}  // namespace

TEST_CASE("MsDeformAttn: heads start looking along directions of their own, at growing distances") {
  const nn::MsDeformAttn layer = small_layer();
  const float* bias = layer.sampling_offsets.bias.value().data<float>();  // [M, L, K, 2]
  const auto offset = [&](i64 m, i64 l, i64 k, i64 axis) { return bias[((m * 2 + l) * 3 + k) * 2 + axis]; };
  CHECK(offset(0, 0, 0, 0) == doctest::Approx(1));
  CHECK(offset(0, 0, 0, 1) == doctest::Approx(0));
  CHECK(offset(1, 1, 2, 0) == doctest::Approx(0));
  CHECK(offset(1, 1, 2, 1) == doctest::Approx(3));
  CHECK(offset(2, 0, 1, 0) == doctest::Approx(-2));
  for (const float weight : layer.attention_weights.weight.value().span<float>()) CHECK(weight == 0);
}

TEST_CASE("MsDeformAttn: where all tokens are equal, every query inside sees just them") {
  const nn::MsDeformAttn layer = small_layer();
  const Var token = random_var({1, 1, 8}, 2, -1, 1);
  Tensor tokens = Tensor::empty({1, 30, 8});
  for (i64 i = 0; i < 30; ++i) std::copy_n(token.value().data<float>(), 8, tokens.data<float>() + i * 8);
  // A box around the centre of the map: its offsets of up to half a box stay inside.
  const Var box(Tensor::from(std::vector<float>{0.5, 0.5, 0.2F, 0.2F}, {1, 1, 1, 4}));
  const Var y = layer(random_var({1, 1, 8}, 3, -1, 1), box, Var(tokens), kLevels);
  const Var expected = layer.output_proj(layer.value_proj(token));
  for (i64 c = 0; c < 8; ++c) CHECK(y.value().data<float>()[c] == doctest::Approx(expected.value().data<float>()[c]));
}

TEST_CASE("MsDeformAttn: one reference point serves all levels") {
  const nn::MsDeformAttn layer = small_layer();
  const Var query = random_var({2, 5, 8}, 4, -1, 1), tokens = random_var({2, 30, 8}, 5, -1, 1);
  const Var point = random_var({2, 5, 1, 2}, 6, 0, 1);
  Tensor repeated = Tensor::empty({2, 5, 2, 2});
  for (i64 i = 0; i < 40; ++i) repeated.data<float>()[i] = point.value().data<float>()[i / 4 * 2 + i % 2];
  const Var one = layer(query, point, tokens, kLevels), many = layer(query, Var(repeated), tokens, kLevels);
  CHECK(one.shape() == Shape{2, 5, 8});
  for (i64 i = 0; i < one.value().numel(); ++i) CHECK(one.value().data<float>()[i] == many.value().data<float>()[i]);
}

TEST_CASE("MsDeformAttn: a token that is not kept counts as a value of 0 and gets no gradient") {
  const nn::MsDeformAttn layer = small_layer();
  const Var query = random_var({1, 5, 8}, 4, -1, 1), point = random_var({1, 5, 1, 2}, 6, 0, 1);
  const Var tokens(random_var({1, 30, 8}, 5, -1, 1).value(), true);
  Tensor none = Tensor::zeros({1, 30, 1}), most = Tensor::full({1, 30, 1}, 1);
  most.data<float>()[7] = 0;
  const Tensor y = layer(query, point, tokens, kLevels, none).value();
  for (i64 i = 0; i < y.numel(); ++i)  // the projection of nothing
    CHECK(y.data<float>()[i] == doctest::Approx(layer.output_proj.bias.value().data<float>()[i % 8]));
  layer(query, point, tokens, kLevels, most).backward(Tensor::full({1, 5, 8}, 1));
  for (i64 c = 0; c < 8; ++c) CHECK(tokens.grad().data<float>()[7 * 8 + c] == 0);
}

TEST_CASE("MsDeformAttn: few queries before many tokens get the same values and gradients as in the usual order") {
  const std::vector<ops::LevelSize> levels = {{20, 20}, {10, 10}};
  std::vector<Work> work;
  const auto run = [&](bool few) {
    nn::MsDeformAttn layer = small_layer();
    Random(9).fill_uniform(layer.value_proj.bias.value(), -1, 1);
    Random(10).fill_uniform(layer.attention_weights.weight.value(), -1, 1);
    std::vector<Var> leaves = {Var(random_var({2, 5, 8}, 4, -1, 1).value(), true),
                               Var(random_var({2, 500, 8}, 5, -1, 1).value(), true)};
    const Var box = random_var({2, 5, 1, 4}, 6, 0, 1);  // some samples lie outside
    const Tensor keep = few ? Tensor() : Tensor::full({2, 500, 1}, 1);
    Counting counting;
    const Var y = layer(leaves[0], box, leaves[1], levels, keep);
    work.push_back(counting.work);
    y.backward(random_var(y.shape(), 7, -1, 1).value());
    for (const auto& [name, parameter] : nn::named_parameters(layer)) leaves.push_back(*parameter);
    std::vector<Tensor> results = {y.value()};
    for (const Var& leaf : leaves) results.push_back(leaf.grad());
    return results;
  };
  const std::vector<Tensor> few = run(true), usual = run(false);
  for (size_t i = 0; i < few.size(); ++i) {
    CAPTURE(i);
    for (i64 k = 0; k < few[i].numel(); ++k)
      CHECK(few[i].data<float>()[k] == doctest::Approx(usual[i].data<float>()[k]).epsilon(1e-4).scale(1));
  }
  CHECK(work[0].published == work[1].published);
  CHECK(work[0].multiply_adds < work[1].multiply_adds / 10);
}

TEST_CASE("MsDeformAttn: its parts have the names of either reference") {
  const auto names = [](nn::MsDeformAttn layer) {
    std::vector<std::string> result;
    for (const auto& [name, var] : nn::named_parameters(layer))
      if (name.ends_with(".weight")) result.push_back(name);
    return result;
  };
  CHECK(names(small_layer()) == std::vector<std::string>{"sampling_offsets.weight", "attention_weights.weight",
                                                         "value_proj.weight", "output_proj.weight"});
  CHECK(
      names(small_layer(nn::MsDeformAttnConfig::Names::kFqdet)) ==
      std::vector<std::string>{"sampling_offsets.weight", "attn_weights.weight", "val_proj.weight", "out_proj.weight"});
}

TEST_CASE("MsDeformAttn: errors name the shapes") {
  const nn::MsDeformAttn layer = small_layer();
  const Var query = random_var({1, 5, 8}, 7, -1, 1), tokens = random_var({1, 30, 8}, 8, -1, 1);
  CHECK_ERROR(layer(query, random_var({1, 5, 3, 2}, 9, 0, 1), tokens, kLevels),
              "MsDeformAttn: reference must be [1, 5, 2 or 1, 2 or 4], got [1, 5, 3, 2]");
  CHECK_ERROR(layer(query, random_var({1, 5, 2, 2}, 9, 0, 1), tokens, {{5, 6}}),
              "MsDeformAttn: 1 levels, the layer has 2");
  Random random(1);
  CHECK_ERROR(nn::MsDeformAttn({.channels = 9, .heads = 2}, random),
              "MsDeformAttn: 9 channels cannot be split into 2 heads");
}
