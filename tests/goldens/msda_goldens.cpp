// The golden results of multi-scale deformable attention: the operator, and the layer around reference points and
// reference boxes, in f64, with their gradients.
//
// Metadata: prefix, batch, queries, heads, head_dim, points, shapes "[(h, w), ...]". The layer has 8 heads and 32
// channels.
#include "nn/ms_deform_attn.h"
#include "tests/goldens/module_golden.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

class MsdaGolden : ModuleGolden {
 public:
  MsdaGolden(const SafeTensors& file, Report& report)
      : ModuleGolden(file, report, {.forward = kForwardTolerance, .gradient = kGradientTolerance}) {
    const std::vector<i64> sides = numbers("shapes");
    for (size_t i = 0; i < sides.size(); i += 2) {
      levels_.push_back({sides[i], sides[i + 1]});
      tokens_ += sides[i] * sides[i + 1];
    }
  }

  int run() {
    check_operator();
    check_layer(2);
    check_layer(4);
    return finish();
  }

 private:
  void check_operator() {
    const i64 B = number("batch"), Q = number("queries"), M = number("heads"), d = number("head_dim");
    const i64 K = number("points"), L = std::ssize(levels_);
    const Var value = input("value", {B, tokens_, M, d});
    const Var locations = input("loc", {B, Q, M, L, K, 2}, -0.15, 1.15);
    const Var attention = input("att", {B, Q, M, L, K}, 0, 1);
    const Var y = ms_deform_attn(value, levels_, locations, attention);
    compare("y", y.value());
    upstream(y, "dy").backward();
    compare_gradient("dvalue", value);
    compare_gradient("dloc", locations);
    compare_gradient("datt", attention);
  }

  // coordinates: 2 for reference points, 4 for boxes.
  void check_layer(i64 coordinates) {
    constexpr i64 kChannels = 32;
    const i64 B = number("batch"), Q = number("queries"), L = std::ssize(levels_);
    const std::string name = fmt::format("layer{}.", coordinates);
    Random random(0);
    nn::MsDeformAttn layer({.channels = kChannels, .heads = 8, .levels = L, .points = number("points")}, random);
    generate(layer, nullptr, prefix() + name + "attn.");
    const Var query = input(name + "query", {B, Q, kChannels}),
              tokens = input(name + "tokens", {B, tokens_, kChannels});
    const Var y = layer(query, input(name + "ref", {B, Q, L, coordinates}, 0.1, 0.9, false), tokens, levels_);
    compare(name + "y", y.value());
    upstream(y, name + "dy").backward();
    compare_gradient(name + "dquery", query);
    compare_gradient(name + "dtokens", tokens);
    compare_gradients(layer, nullptr, name + "grad.attn.");
  }

  std::vector<ops::LevelSize> levels_;
  i64 tokens_ = 0;
};

const bool kAdded = add_network({.name = "multi-scale deformable attention",
                                 .recognises = [](const SafeTensors& file) { return file.contains("layer2.dtokens"); },
                                 .check = check_with<MsdaGolden>});

}  // namespace

}  // namespace tessera::goldens
