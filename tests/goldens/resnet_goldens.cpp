// The golden results of torchvision's ResNet-50 with frozen normalisations on a picture whose sides are no multiples of
// 32: C2 .. C5, and the gradients of what FQDet trains (the stem and the first stage are frozen), in f64. Parameters,
// image and upstream gradients are generated from their names.
//
// Metadata: prefix, height, width, dy_scale.<row>, factor of the upstream gradient; <key>.shape and <key>.stride where
// only flat[::stride] is stored.
#include <cmath>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/backbones/resnet.h"
#include "tests/goldens/fill.h"
#include "tests/goldens/network_goldens.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

class ResNetGolden {
 public:
  ResNetGolden(const SafeTensors& file, Report& report) : file_(file), report_(report) {}

  int run() {
    Random random(0);
    ResNet net({.names = BackboneNames::kTorchvision, .freeze_at = 2}, random, {2, 3, 4, 5});
    std::vector<NamedTensor> values;
    for (const nn::StateEntry& entry : nn::state(net))
      values.push_back({entry.name, parameter(entry.name, nn::to_theirs(entry.tensor, entry.layout).shape())});
    nn::load_state(net, values, nn::Strictness::kExact, true);
    net.to(report_.device());

    const Shape shape{1, 3, std::stoll(text("height")), std::stoll(text("width"))};
    const std::vector<Var> maps = net(Var(nhwc(fill(text("prefix") + "image", shape)).to(report_.device())));
    Var total;
    for (size_t i = 0; i < maps.size(); ++i) {
      const Tensor map = nn::to_theirs(maps[i].value(), nn::Layout::kConvOIHW);
      compare(fmt::format("c.{}", i + 2), map, kForwardTolerance);
      const Tensor upstream = fill(fmt::format("{}dy.{}", text("prefix"), i + 2), map.shape());
      const double scale = std::stod(text(fmt::format("dy_scale.{}", i + 2)));
      const Var term = sum(maps[i] * Var(nhwc(upstream).to(report_.device()))) * scale;
      total = total ? total + term : term;
    }
    total.backward();
    for (const nn::StateEntry& entry : nn::state(net))
      if (entry.parameter && file_.contains("grad." + entry.name))
        compare("grad." + entry.name, nn::to_theirs(entry.parameter->grad(), entry.layout), kGradient);
    return cases_;
  }

 private:
  // A ReLU that decides the other way by f32 rounding moves a gradient by more than an operator's tolerance.
  static constexpr double kGradient = 1e-3;

  static Tensor nhwc(const Tensor& x) { return nn::to_ours(x, nn::Layout::kConvOIHW); }

  std::string text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    TESSERA_CHECK(found != file_.metadata().end(), "{}: metadata {} is missing", file_.path().string(), key);
    return found->second;
  }

  Tensor parameter(const std::string& name, const Shape& shape) const {
    double low = -0.1, high = 0.1;  // a norm's bias and mean
    if (shape.rank() == 4) {
      high = std::sqrt(3 / static_cast<double>(shape.numel(1, 4))) * std::sqrt(2.0);
      low = -high;
    } else if (name.ends_with("weight") || name.ends_with("running_var")) {
      low = 0.75;
      high = 1.25;
    }
    return fill(text("prefix") + name, shape, low, high);
  }

  void compare(const std::string& key, const Tensor& got, double tolerance) {
    ++cases_;
    const Tensor host = got.to_host();
    const Tensor& want = file_[key];
    const bool sampled = file_.metadata().contains(key + ".stride");
    const i64 step = sampled ? std::stoll(text(key + ".stride")) : 1;
    if (sampled ? fmt::format("{}", host.shape()) != text(key + ".shape") : host.shape() != want.shape())
      return report_.fail(title(key), fmt::format("the shape is {}", host.shape()));
    Tensor values = Tensor::empty(want.shape());
    for (i64 i = 0; i < want.numel(); ++i) values.data<float>()[i] = host.data<float>()[i * step];
    report_.check(title(key), relative_error(values, want), tolerance);
  }
  std::string title(const std::string& key) const { return file_.path().stem().string() + "/" + key; }

  const SafeTensors& file_;
  Report& report_;
  int cases_ = 0;
};

const bool kAdded =
    add_network({.name = "ResNet-50",
                 .recognises = [](const SafeTensors& file) { return file.metadata().contains("dy_scale.5"); },
                 .check = [](const SafeTensors& file, Report& report) { return ResNetGolden(file, report).run(); }});

}  // namespace

}  // namespace tessera::goldens
