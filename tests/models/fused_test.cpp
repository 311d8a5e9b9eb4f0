// Models fused for inference: the same results, within the error of f32 arithmetic, and no stale weights.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/reduce.h"
#include "models/backbones/backbone.h"
#include "models/sparseinst/sparseinst.h"
#include "nn/intermediates.h"
#include "tests/support/check_error.h"

using namespace tessera;
using sparseinst::SparseInst;

namespace {

Tensor noise(const Shape& shape, DType dtype = DType::kF32) {
  Tensor x = Tensor::empty(shape);
  Random(5).fill_normal(x, 0, 1);
  return x.to(dtype);
}

// Root of the summed squares of a - b, relative to b's.
double error_of(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const Tensor x = a.to(DType::kF64), y = b.to(DType::kF64);
  double difference = 0, size = 0;
  for (i64 i = 0; i < x.numel(); ++i) {
    difference += std::pow(x.data<double>()[i] - y.data<double>()[i], 2);
    size += std::pow(y.data<double>()[i], 2);
  }
  return std::sqrt(difference / size);
}

// All parameters and buffers in f64.
class Doubled : public nn::Visitor {
 public:
  void parameter(const std::string&, Var& var, nn::Layout) override {
    if (var) var.value() = var.value().to(DType::kF64);
  }
  void buffer(const std::string&, Tensor& tensor) override {
    if (tensor) tensor = tensor.to(DType::kF64);
  }
  void child(const std::string&, nn::Module& module) override { module.visit(*this); }
};

// Statistics and weights as training leaves them: every normalisation has values of its own.
class Disturbed : public nn::Visitor {
 public:
  void parameter(const std::string& name, Var& var, nn::Layout) override { disturb(name, var.value()); }
  void buffer(const std::string& name, Tensor& tensor) override { disturb(name, tensor); }
  void child(const std::string&, nn::Module& module) override {
    const bool outer = norm_;
    norm_ = dynamic_cast<nn::FrozenBatchNorm*>(&module) || dynamic_cast<nn::BatchNorm2d*>(&module);
    module.visit(*this);
    norm_ = outer;
  }

 private:
  void disturb(const std::string& name, Tensor& tensor) {
    if (!norm_ || !tensor) return;
    const bool around_0 = name == "bias" || name == "running_mean";
    Random(seed_++).fill_uniform(tensor, around_0 ? -0.2 : 0.5, around_0 ? 0.2 : 1.0);
  }
  bool norm_ = false;
  u64 seed_ = 1;
};

}  // namespace

TEST_CASE("fuse_for_inference: backbones give the same maps") {
  const NoGrad no_grad;
  for (const BackboneKind kind :
       {BackboneKind::kTiny, BackboneKind::kResNet18, BackboneKind::kResNet50, BackboneKind::kMobileNetV2})
    for (const nn::Norm norm : {nn::Norm::kFrozenBatch, nn::Norm::kBatch}) {
      Random random(1);
      const std::unique_ptr<Backbone> net = make_backbone({.kind = kind, .norm = norm}, random);
      Disturbed disturbed;
      net->visit(disturbed);
      net->eval();
      const Var images(noise({2, 96, 64, 3}));
      const std::vector<Var> plain = (*net)(images);
      for (const bool winograd : {false, true}) {
        nn::fuse_for_inference(*net, {.winograd = winograd});
        const std::vector<Var> fused = (*net)(images);
        CAPTURE(static_cast<int>(kind));
        for (size_t i = 0; i < plain.size(); ++i) CHECK(error_of(fused[i].value(), plain[i].value()) < 2e-5);
      }
    }
}

// docs/winograd.md: the error of the whole network, against f64, is at most three times that of the direct one.
TEST_CASE("fuse_for_inference: the network's error with Winograd is at most three times the direct one's") {
  const NoGrad no_grad;
  const std::array names{"c5", "encoder", "inst_features_map", "mask_features", "inst_vectors", "pred_masks"};
  const auto outputs = [&](SparseInst& net, DType dtype) {
    const nn::Intermediates intermediates;
    net.forward(Var(noise({1, 128, 128, 3}, dtype)));
    std::vector<Tensor> maps;
    for (const char* name : names) maps.push_back(intermediates.at(name));
    return maps;
  };
  // Live normalisations that have seen pictures keep the maps as varied as a trained network's.
  Random random(1);
  sparseinst::Config config;
  config.backbone.norm = nn::Norm::kBatch;
  SparseInst net(config, random);
  for (int i = 0; i < 6; ++i) net.forward(Var(noise({1, 64, 64, 3})));
  net.eval();
  const auto direct = outputs(net, DType::kF32);
  nn::fuse_for_inference(net);
  const auto fused = outputs(net, DType::kF32);
  net.train();
  net.eval();
  Doubled doubled;
  net.visit(doubled);
  const auto truth = outputs(net, DType::kF64);
  for (size_t i = 0; i < truth.size(); ++i) {
    const double e_direct = error_of(direct[i], truth[i]), e_fused = error_of(fused[i], truth[i]);
    CAPTURE(names[i]);
    CAPTURE(e_direct);
    CHECK(e_fused < 3 * e_direct);
  }
}

TEST_CASE("fuse_for_inference: undone by train() and load_state(), and no gradients meanwhile") {
  Random random(1);
  const std::unique_ptr<Backbone> net = make_backbone({.kind = BackboneKind::kTiny, .norm = nn::Norm::kBatch}, random);
  const Var images(noise({1, 64, 64, 3}));
  const auto run = [&] {
    const NoGrad no_grad;
    return (*net)(images)[0].value();
  };
  nn::fuse_for_inference(*net);
  CHECK(!net->training());
  CHECK_ERROR((*net)(images), "the model is fused for inference and has no gradients");
  const Tensor before = run();

  std::vector<NamedTensor> twice;
  for (const nn::StateEntry& entry : nn::state(*net)) {
    Tensor t = entry.tensor.to(DType::kF64).to(DType::kF32);
    if (entry.parameter && entry.layout == nn::Layout::kConvOIHW)
      for (float& w : t.span<float>()) w *= 2;
    twice.push_back({entry.name, t});
  }
  nn::load_state(*net, twice, nn::Strictness::kExact, false);
  const Tensor after = run();
  CHECK(error_of(after, before) > 0.1);
  nn::fuse_for_inference(*net);
  CHECK(error_of(run(), after) < 2e-5);

  net->train();
  sum((*net)(images)[0]).backward();
  for (const auto& [name, parameter] : nn::named_parameters(*net))
    if (name == "stem.conv1.weight") CHECK(parameter->grad().defined());
}
