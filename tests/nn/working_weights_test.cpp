// The weights of a training step, made for all layers at once: equal to those made one by one, and so are gradients.
#include "nn/working_weights.h"

#include <doctest/doctest.h>

#include <cstring>

#include "autograd/reduce.h"
#include "nn/conv_norm.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

Var picture(u64 seed) {
  Tensor x = Tensor::empty({1, 4, 4, 3});
  Random(seed).fill_normal(x, 0, 1);
  return Var(x);
}

// A convolution with a frozen normalisation whose four statistics are no trivial ones.
nn::ConvNorm make_layer() {
  Random random(3);
  nn::ConvNorm layer({.in = 3, .out = 5, .kernel = 3}, random);
  u64 seed = 10;
  for (const nn::StateEntry& entry : nn::state(layer))
    if (!entry.parameter) {
      Tensor t = entry.tensor;
      Random(seed++).fill_uniform(t, 0.5, 1.5);
    }
  return layer;
}

Var& weight_of(nn::ConvNorm& layer) {
  return *nn::named_parameters(layer)[0].second;
}

void backward_of(nn::ConvNorm& layer, u64 seed) {
  sum(layer(picture(seed))).backward();
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

TEST_CASE("working weights: gradients are those without them, bit for bit, in the first pass and in later ones") {
  nn::ConvNorm layer = make_layer();
  nn::WorkingWeights weights;
  for (u64 step = 0; step < 3; ++step) {
    backward_of(layer, step);
    const Tensor expected = weight_of(layer).grad().clone();
    layer.zero_grad();
    {
      nn::WorkingWeights::Pass pass(weights);
      backward_of(layer, step);
      CHECK_FALSE(weight_of(layer).grad().defined());
      pass.finish();
    }
    CHECK(same(weight_of(layer).grad(), expected));
    layer.zero_grad();
    weight_of(layer).value().fill(0.25 * static_cast<double>(step));  // the next pass sees it
  }
}

TEST_CASE("working weights: gradients of several passes add up, those of a pass that fails are forgotten") {
  nn::ConvNorm layer = make_layer();
  nn::WorkingWeights weights;
  backward_of(layer, 1);
  backward_of(layer, 2);
  const Tensor expected = weight_of(layer).grad().clone();
  layer.zero_grad();
  for (const u64 seed : {1, 7, 2}) {
    nn::WorkingWeights::Pass pass(weights);
    backward_of(layer, seed);
    if (seed != 7) pass.finish();
  }
  CHECK(same(weight_of(layer).grad(), expected));
}

TEST_CASE("working weights: a weight that is replaced, or a normalisation with other statistics, is made anew") {
  nn::ConvNorm layer = make_layer(), other = make_layer();
  weight_of(other).value().fill(2);
  nn::WorkingWeights weights;
  const auto output = [&] {
    nn::WorkingWeights::Pass pass(weights);
    return layer(picture(1)).value();
  };
  const Tensor before = output();
  weight_of(layer) = weight_of(other);
  CHECK(same(output(), other(picture(1)).value()));
  std::vector<NamedTensor> changed = nn::state_dict(layer);
  for (NamedTensor& entry : changed)
    if (entry.name == "conv.norm.running_mean") entry.tensor = Tensor::full({5}, 3);
  nn::load_state(layer, changed, nn::Strictness::kExact, false);
  const Tensor after = output();
  CHECK_FALSE(same(after, other(picture(1)).value()));
  CHECK(same(after, layer(picture(1)).value()));
}

TEST_CASE("working weights: there is one pass at a time") {
  nn::WorkingWeights weights;
  const nn::WorkingWeights::Pass pass(weights);
  CHECK_ERROR(nn::WorkingWeights::Pass{weights}, "another pass has not ended");
}
