#include "models/backbones/darknet.h"

#include <doctest/doctest.h>

#include <set>

using namespace tessera;

namespace {

std::unique_ptr<Backbone> make(BackboneKind kind, const std::vector<i64>& rows = {}) {
  Random random(2);
  return make_backbone({.kind = kind, .norm = nn::Norm::kBatch}, random, rows);
}

Var noise(const Shape& shape) {
  Tensor x = Tensor::empty(shape);
  Random(11).fill_normal(x, 0, 1);
  return Var(x);
}

}  // namespace

TEST_CASE("darknet: both have the authors' parameters under the authors' names") {
  for (const auto& [kind, count, name] :
       {std::tuple{BackboneKind::kDarkNet53, i64{40'584'928}, "stages.4.blocks.3.conv2.bn.running_var"},
        {BackboneKind::kCspDarkNet53, i64{26'617'184}, "stages.0.conv_transition_b.conv.weight"}}) {
    const std::unique_ptr<Backbone> net = make(kind);
    CHECK(nn::count_parameters(*net) == count);
    std::set<std::string> names;
    for (const nn::StateEntry& entry : nn::state(*net)) names.insert(entry.name);
    CAPTURE(name);
    CHECK(names.contains(name));
    CHECK(names.contains("stem.conv1.conv.weight"));
  }
}

TEST_CASE("darknet: rows that were asked for, of pictures of any size") {
  for (const BackboneKind kind : {BackboneKind::kDarkNet53, BackboneKind::kCspDarkNet53}) {
    const std::unique_ptr<Backbone> net = make(kind, {1, 3});
    const NoGrad no_grad;
    const std::vector<Var> maps = (*net)(noise({2, 33, 41, 3}));
    REQUIRE(maps.size() == 2);
    CHECK(maps[0].shape() == Shape{2, 17, 21, 64});
    CHECK(maps[1].shape() == Shape{2, 5, 6, 256});
    CHECK(net->levels()[1].stride == 8);
  }
}

TEST_CASE("darknet: a block begins as the identity, because its last normalisation has weight 0") {
  Random random(3);
  DarkBlock block(8, 4, nn::Norm::kBatch, random);
  const Var x = noise({1, 3, 3, 8});
  const Tensor y = block(x).value();
  for (i64 i = 0; i < y.numel(); ++i) CHECK(y.data<float>()[i] == x.value().data<float>()[i]);
}
