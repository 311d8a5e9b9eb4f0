// The golden results of SPS: effseg_sps_ops (structure, child features, index convolutions) and effseg_modules (the
// processing modules). Inputs, parameters and upstream gradients are generated from their names.
#include <algorithm>
#include <cmath>

#include "autograd/arrange.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "autograd/sps.h"
#include "models/effseg/processing.h"
#include "ops/arrange.h"
#include "tests/goldens/fill.h"
#include "tests/goldens/module_golden.h"

namespace tessera::goldens {

using namespace effseg;

namespace {

constexpr double kForward = 1e-5, kGradient = 1e-4;

Tensor parameter_of(const std::string& prefix, const std::string& name, const Shape& shape, bool of_norm) {
  return generate({.name = prefix + name, .shape = shape, .of_norm = of_norm});
}

class SpsGolden {
 public:
  SpsGolden(const SafeTensors& file, Report& report)
      : file_(file), report_(report), title_(file.path().stem().string()) {}

 protected:
  i64 number(const std::string& key) const { return std::stoll(file_.metadata().at(key)); }

  void compare(const std::string& key, const Tensor& got, double limit) {
    ++cases_;
    report_.check(title_ + "/" + key, relative_error(got.to_host(), file_[key]), limit);
  }
  void compare_grad(const std::string& key, const Var& x) {
    if (x.grad()) return compare(key, x.grad(), kGradient);
    ++cases_;
    double largest = 0;
    for (const float g : file_[key].span<float>()) largest = std::max(largest, std::abs(static_cast<double>(g)));
    report_.check(title_ + "/" + key, largest, 0, "no gradient arrived");
  }
  void compare_ids(const std::string& key, const Tensor& got) {
    ++cases_;
    const Tensor host = got.to_host(), &want = file_[key];
    const bool same = host.shape() == want.shape() && std::ranges::equal(host.span<i64>(), want.span<i64>());
    report_.check(title_ + "/" + key, same ? 0 : 1, 0, "ids must be equal");
  }

  // The oracle's x is [R, C, S, S].
  Sps start(const std::string& name, i64 R, i64 S, i64 C, Var* leaf = nullptr) const {
    Var x(nn::to_ours(fill(name, {R, C, S, S}), nn::Layout::kConvOIHW).to(report_.device()), leaf != nullptr);
    if (leaf) *leaf = x;
    const Tensor zeros = Tensor::zeros({R}, DType::kI64, report_.device());
    return sps_dense(x, zeros, zeros);
  }

  // The k largest scores stay; the mask must be the stored one.
  Tensor mask(const std::string& name, const std::string& key, i64 rows, i64 k) {
    const Tensor mask = ops::sps_top_mask(fill(name, {rows}).to(report_.device()), k);
    ++cases_;
    const bool same = std::ranges::equal(mask.to_host().span<u8>(), file_[key].span<u8>());
    report_.check(title_ + "/" + key, same ? 0 : 1, 0);
    return mask;
  }

  Var leaf(const Tensor& value) const { return Var(value.to(report_.device()), true); }

  const SafeTensors& file_;
  Report& report_;
  std::string title_;
  int cases_ = 0;
};

class SpsOpsGolden : SpsGolden {
 public:
  using SpsGolden::SpsGolden;

  int run() {
    const i64 C = number("channels"), k = number("k");
    Var x;
    Sps sps = start(prefix_ + "x", number("rois"), number("size"), C, &x);
    std::vector<std::pair<std::string, Var>> parameters;
    const auto parameter = [&](const std::string& name, const Shape& shape) {
      return parameters.emplace_back(name, leaf(parameter_of(prefix_, name, shape, false))).second;
    };
    for (const int stage : {1, 2}) {
      const std::string s = std::to_string(stage), td = "td." + s;
      sps = sps_select(sps, mask(prefix_ + "score." + s, s + ".mask", sps.structure.active(), k));
      compare_ids(s + ".select.idmap", sps.structure.index_map);
      const Var w0 = parameter(td + ".0.weight", {4 * C, C}), b0 = parameter(td + ".0.bias", {4 * C});
      const Var w3 = parameter(td + ".3.weight", {C, C}), b3 = parameter(td + ".3.bias", {C});
      const Var hidden = reshape(relu(linear(sps.active, w0, b0)), {4 * sps.structure.active(), C});
      sps = sps_upsample(sps, sps_repeat(sps.active) + linear(hidden, w3, b3));
      compare_ids(s + ".up.idmap", sps.structure.index_map);
      compare_ids(s + ".up.roi",
                  ops::slice(sps.structure.cells, 1, ops::kSpsRoi, ops::kSpsRoi + 1).reshape({sps.structure.active()}));
      compare_ids(s + ".up.pos", ops::slice(sps.structure.cells, 1, ops::kSpsX, ops::kSpsY + 1));
      compare(s + ".up.act", sps.active.value(), kForward);
      compare(s + ".up.pas", sps.passive.value(), kForward);
    }
    const Var gradient_a(fill(prefix_ + "dact", sps.active.shape()).to(report_.device()));
    const Var gradient_p(fill(prefix_ + "dpas", sps.passive.shape()).to(report_.device()));
    (sum(sps.active * gradient_a) + sum(sps.passive * gradient_p)).backward();
    compare("grad.x", nn::to_theirs(x.grad(), nn::Layout::kConvOIHW), kGradient);
    for (const auto& [name, value] : parameters) compare_grad("grad." + name, value);
    convolutions(sps);
    return cases_;
  }

 private:
  void convolutions(const Sps& sps) {
    const i64 C = number("channels"), out = number("out");
    for (const char* name : {"conv1", "conv3", "conv5", "deform"}) {
      const std::string key = name, prefix = prefix_ + key + ".";
      const Var a = leaf(sps.active.value()), p = leaf(sps.passive.value());
      const Var w = leaf(parameter_of(prefix, "weight", {out, 9 * C}, false));
      const Var b = leaf(parameter_of(prefix, "bias", {out}, false));
      Var y, wo, bo;
      if (key == "deform") {
        wo = leaf(parameter_of(prefix, "conv_offsets.weight", {18, C}, false));
        bo = leaf(parameter_of(prefix, "conv_offsets.bias", {18}, false));
        y = sps_deform_conv2d(sps.structure, a, p, linear(a, wo, bo), w, b);
      } else {
        y = sps_conv2d(ops::sps_neighbours(sps.structure, key.back() - '0'), a, p, w, b);
      }
      compare(key + ".y", y.value(), kForward);
      y.backward(fill(prefix + "dy", y.shape()).to(report_.device()));
      compare_grad(key + ".dact", a);
      compare_grad(key + ".dpas", p);
      compare_grad(key + ".dweight", w);
      compare_grad(key + ".dbias", b);
      if (wo) compare_grad(key + ".dwo", wo);
      if (bo) compare_grad(key + ".dbo", bo);
    }
  }

  const std::string prefix_ = file_.metadata().at("prefix");
};

class ModulesGolden : SpsGolden {
 public:
  using SpsGolden::SpsGolden;

  int run() {
    check("sfm", Processing::kSfm);
    check("conv", Processing::kConv);
    check("deform", Processing::kDeformConv);
    check("mlp", Processing::kMlp);
    return cases_;
  }

 private:
  void check(const std::string& kind, Processing processing) {
    const std::string pattern = file_.metadata().at("prefix");  // "gold.mod.<kind>."
    std::string prefix = pattern;
    prefix.replace(pattern.find("<kind>"), 6, kind);
    const i64 R = number("rois"), S = number("size"), k = number("k"), C = number("widths");
    Sps sps = start(prefix + "x", R, S, C);
    sps = sps_select(sps, mask(prefix + "score", kind + ".mask", R * S * S, k));
    sps = sps_upsample(sps, leaf(fill(prefix + "act", {4 * k, C})));
    sps.passive = leaf(sps.passive.value());

    Random random(1);
    const std::unique_ptr<ProcessingModule> module = make_processing(processing, C, random);
    const bool norm = processing != Processing::kSfm;
    for (const auto& [name, parameter] : nn::named_parameters(*module))
      parameter->value() = parameter_of(prefix + "proc.", name, parameter->shape(), norm && name.starts_with("1."));
    module->to(report_.device());
    const Var y = (*module)(sps);
    compare(kind + ".y", y.value(), kForward);
    y.backward(fill(prefix + "dy", y.shape()).to(report_.device()));
    compare_grad(kind + ".grad.act", sps.active);
    compare_grad(kind + ".grad.pas", sps.passive);
    for (const auto& [name, parameter] : nn::named_parameters(*module))
      compare_grad(kind + ".grad.proc." + name, *parameter);
  }
};

const bool kAdded =
    add_network({"SPS operators", [](const SafeTensors& file) { return file.contains("1.select.idmap"); },
                 [](const SafeTensors& file, Report& report) { return SpsOpsGolden(file, report).run(); }}) &&
    add_network({"EffSeg's processing modules", [](const SafeTensors& file) { return file.contains("sfm.grad.act"); },
                 [](const SafeTensors& file, Report& report) { return ModulesGolden(file, report).run(); }});

}  // namespace

}  // namespace tessera::goldens
