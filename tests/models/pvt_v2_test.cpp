#include "models/backbones/pvt_v2.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "tests/support/check_error.h"

using namespace tessera;

namespace {

std::unique_ptr<Backbone> make(BackboneKind kind, double drop_path = 0.1, const std::vector<i64>& rows = {2}) {
  Random random(2);
  return make_backbone({.kind = kind, .drop_path = drop_path}, random, rows);
}

Tensor noise(const Shape& shape) {
  Tensor x = Tensor::empty(shape);
  Random(11).fill_normal(x, 0, 1);
  return x;
}

Tensor run(Backbone& net, const Tensor& images, std::vector<Random> random) {
  const NoGrad no_grad;
  return net(Var(images), random).back().value();
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.numel()) * sizeof(float)) == 0;
}

// But for rounding: which kernel makes a product may depend on its number of rows.
bool near(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::ranges::equal(a.span<float>(), b.span<float>(), [](float x, float y) { return std::abs(x - y) < 1e-4f; });
}

}  // namespace

TEST_CASE("pvt_v2: both have the authors' parameters and rows") {
  for (const auto& [kind, count] :
       {std::pair{BackboneKind::kPvtV2B1, i64{13'496'000}}, {BackboneKind::kPvtV2B2Linear, i64{22'040'512}}}) {
    const std::unique_ptr<Backbone> net = make(kind, 0.1, {});
    CHECK(nn::count_parameters(*net) == count);
    const NoGrad no_grad;
    const std::vector<Var> maps = (*net)(Var(noise({1, 64, 96, 3})));
    REQUIRE(maps.size() == 3);
    for (size_t i = 0; i < 3; ++i)
      CHECK(maps[i].shape() ==
            Shape{1, 64 / net->levels()[i].stride, 96 / net->levels()[i].stride, net->levels()[i].channels});
  }
}

TEST_CASE("pvt_v2: sides that the reduction does not divide lose the keys of their rests, not the pixels") {
  const std::unique_ptr<Backbone> net = make(BackboneKind::kPvtV2B1, 0, {1, 2});
  const NoGrad no_grad;
  const std::vector<Var> maps = (*net)(Var(noise({1, 75, 45, 3})));
  CHECK(maps[0].shape() == Shape{1, 19, 12, 64});
  CHECK(maps[1].shape() == Shape{1, 10, 6, 128});
}

TEST_CASE("pvt_v2: stochastic depth draws for each image alone, in training alone") {
  const std::unique_ptr<Backbone> net = make(BackboneKind::kPvtV2B1, 0.9);
  const Tensor images = noise({2, 32, 32, 3});
  const Tensor whole = run(*net, images, {});
  const Tensor both = run(*net, images, {Random(1), Random(2)});
  CHECK_FALSE(same(both, whole));
  CHECK(same(both, run(*net, images, {Random(1), Random(2)})));
  CHECK_FALSE(same(both, run(*net, images, {Random(3), Random(4)})));
  CHECK(near(both.rows(1, 2).clone(), run(*net, images.rows(1, 2).clone(), {Random(2)})));
  CHECK_ERROR(run(*net, images, {Random(1)}), "1 random streams for 2 images");
  net->eval();
  CHECK(same(whole, run(*net, images, {Random(1), Random(2)})));
}

TEST_CASE("pvt_v2: every parameter gets a gradient") {
  for (const BackboneKind kind : {BackboneKind::kPvtV2B1, BackboneKind::kPvtV2B2Linear}) {
    const std::unique_ptr<Backbone> net = make(kind, 0);
    const Var y = (*net)(Var(noise({1, 64, 64, 3}))).back();  // of fewer pixels there is one key, which all weigh 1
    sum(y * Var(noise(y.shape()))).backward();
    for (const nn::StateEntry& entry : nn::state(*net)) {
      CAPTURE(entry.name);
      REQUIRE(entry.parameter->grad().defined());
      double largest = 0;
      const Tensor& grad = entry.parameter->grad();
      for (i64 i = 0; i < grad.numel(); ++i) largest = std::max(largest, std::abs(double{grad.data<float>()[i]}));
      CHECK(largest > 0);
    }
  }
}
