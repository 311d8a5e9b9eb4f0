// The golden results of multi-scale deformable attention: the operator, and the layer around reference points and
// reference boxes, whose parameters and inputs are generated from their names, in f64, with their gradients.
//
// Metadata: prefix, batch, queries, heads, head_dim, points, shapes "[(h, w), ...]". The layer has 8 heads and 32
// channels.
#include <cmath>
#include <sstream>

#include "nn/ms_deform_attn.h"
#include "tests/goldens/fill.h"
#include "tests/goldens/network_goldens.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

class MsdaGolden {
 public:
  MsdaGolden(const SafeTensors& file, Report& report) : file_(file), report_(report) {
    std::string sizes = text("shapes");
    for (char& c : sizes)
      if (c < '0' || c > '9') c = ' ';
    std::istringstream numbers(sizes);
    for (ops::LevelSize level; numbers >> level.height >> level.width;) {
      levels_.push_back(level);
      tokens_ += level.height * level.width;
    }
  }

  int run() {
    check_operator();
    check_layer(2);
    check_layer(4);
    return cases_;
  }

 private:
  std::string text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    TESSERA_CHECK(found != file_.metadata().end(), "{}: metadata {} is missing", file_.path().string(), key);
    return found->second;
  }
  i64 number(const std::string& key) const { return std::stoll(text(key)); }

  Var input(const std::string& name, const Shape& shape, double lo, double hi, bool requires_grad) const {
    return Var(fill(text("prefix") + name, shape, lo, hi).to(report_.device()), requires_grad);
  }

  void compare(const std::string& key, const Tensor& got, double tolerance) {
    ++cases_;
    report_.check(file_.path().stem().string() + "/" + key, relative_error(got.to_host(), file_[key]), tolerance);
  }

  void check_operator() {
    const i64 B = number("batch"), Q = number("queries"), M = number("heads"), d = number("head_dim");
    const i64 K = number("points"), L = static_cast<i64>(levels_.size());
    const Var value = input("value", {B, tokens_, M, d}, -1, 1, true);
    const Var locations = input("loc", {B, Q, M, L, K, 2}, -0.15, 1.15, true);
    const Var attention = input("att", {B, Q, M, L, K}, 0, 1, true);
    const Var y = ms_deform_attn(value, levels_, locations, attention);
    compare("y", y.value(), kForwardTolerance);
    y.backward(input("dy", y.shape(), -1, 1, false).value());
    compare("dvalue", value.grad(), kGradientTolerance);
    compare("dloc", locations.grad(), kGradientTolerance);
    compare("datt", attention.grad(), kGradientTolerance);
  }

  // coordinates: 2 for reference points, 4 for boxes.
  void check_layer(i64 coordinates) {
    constexpr i64 kChannels = 32;
    const i64 B = number("batch"), Q = number("queries"), L = static_cast<i64>(levels_.size());
    const std::string name = fmt::format("layer{}.", coordinates);
    Random random(0);
    nn::MsDeformAttn layer({.channels = kChannels, .heads = 8, .levels = L, .points = number("points")}, random);
    for (const auto& [parameter, var] : nn::named_parameters(layer)) {
      // Of u in [0, 1): weights (2u - 1) sqrt(3 / fan_in) gain, biases (2u - 1) bound.
      const bool offsets = parameter.starts_with("sampling_offsets");
      double bound = offsets ? 2 : 0.05;
      if (parameter.ends_with("weight"))
        bound = std::sqrt(3 / static_cast<double>(var->dim(1))) * (offsets ? 0.3 : std::sqrt(2.0));
      var->value().copy_from(fill(text("prefix") + name + "attn." + parameter, var->shape(), -bound, bound));
    }
    layer.to(report_.device());
    const Var query = input(name + "query", {B, Q, kChannels}, -1, 1, true);
    const Var tokens = input(name + "tokens", {B, tokens_, kChannels}, -1, 1, true);
    const Var y = layer(query, input(name + "ref", {B, Q, L, coordinates}, 0.1, 0.9, false), tokens, levels_);
    compare(name + "y", y.value(), kForwardTolerance);
    y.backward(input(name + "dy", y.shape(), -1, 1, false).value());
    compare(name + "dquery", query.grad(), kGradientTolerance);
    compare(name + "dtokens", tokens.grad(), kGradientTolerance);
    for (const auto& [parameter, var] : nn::named_parameters(layer))
      compare(name + "grad.attn." + parameter, var->grad(), kGradientTolerance);
  }

  const SafeTensors& file_;
  Report& report_;
  std::vector<ops::LevelSize> levels_;
  i64 tokens_ = 0;
  int cases_ = 0;
};

const bool kAdded =
    add_network({.name = "multi-scale deformable attention",
                 .recognises = [](const SafeTensors& file) { return file.contains("layer2.dtokens"); },
                 .check = [](const SafeTensors& file, Report& report) { return MsdaGolden(file, report).run(); }});

}  // namespace

}  // namespace tessera::goldens
