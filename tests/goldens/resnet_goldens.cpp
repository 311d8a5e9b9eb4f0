// The golden results of torchvision's ResNet-50 with frozen normalisations on a picture whose sides are no multiples of
// 32: C2 .. C5, and the gradients of what FQDet trains (the stem and the first stage are frozen), in f64.
//
// Metadata: prefix, height, width, dy_scale.<row>, factor of the upstream gradient. Of some weights no gradient is
// stored.
#include "autograd/pointwise.h"
#include "models/backbones/resnet.h"
#include "tests/goldens/module_golden.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

class ResNetGolden : ModuleGolden {
 public:
  // A ReLU that decides the other way by f32 rounding moves a gradient by more than an operator's tolerance.
  ResNetGolden(const SafeTensors& file, Report& report)
      : ModuleGolden(file, report, {.forward = kForwardTolerance, .gradient = 1e-3}) {}

  int run() {
    Random random(0);
    ResNet net({.names = BackboneNames::kTorchvision, .freeze_at = 2}, random, {2, 3, 4, 5});
    generate(net);
    const std::vector<Var> maps = net(map("image", {1, 3, number("height"), number("width")}, false));
    Var total;
    for (size_t i = 0; i < maps.size(); ++i) {
      compare_map(fmt::format("c.{}", i + 2), maps[i].value());
      const Var term = upstream(maps[i], fmt::format("dy.{}", i + 2)) * real(fmt::format("dy_scale.{}", i + 2));
      total = total ? total + term : term;
    }
    total.backward();
    for (const nn::StateEntry& entry : nn::state(net))
      if (stores("grad." + entry.name)) compare_gradient("grad." + entry.name, *entry.parameter, entry.layout);
    return finish();
  }
};

const bool kAdded =
    add_network({.name = "ResNet-50",
                 .recognises = [](const SafeTensors& file) { return file.metadata().contains("dy_scale.5"); },
                 .check = check_with<ResNetGolden>});

}  // namespace

}  // namespace tessera::goldens
