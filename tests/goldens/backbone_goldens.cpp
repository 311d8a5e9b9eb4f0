// The golden results of SparseInst's other backbones, DarkNets and PVTv2, in f64: maps with the batch's statistics (and
// with the running ones, where there are any), gradients of the images and of every parameter. No branch is left out by
// stochastic depth.
//
// Metadata: prefix ("gold.pvt_b1.": its middle part says which network), height, width, batch.
#include "autograd/pointwise.h"
#include "models/backbones/backbone.h"
#include "tests/goldens/module_golden.h"

namespace tessera::goldens {

namespace {

class BackboneGolden : ModuleGolden {
 public:
  // Kinks that f32's rounding crosses: of LeakyReLUs behind normalisations that see twelve samples a channel, and of
  // the ReLUs of linear attention. PVTv2-B1 has none.
  BackboneGolden(const SafeTensors& file, Report& report)
      : ModuleGolden(file, report, {.forward = 5e-4, .gradient = 3e-2, .gradient_l2 = true}) {
    if (kind() == BackboneKind::kPvtV2B1) tolerances.gradient = 1e-4;
  }

  int run() {
    Random random(0);
    const std::unique_ptr<Backbone> net = make_backbone({.kind = kind(), .norm = nn::Norm::kBatch}, random);
    generate(*net);
    const Var generated = input("images", {number("batch"), 3, number("height"), number("width")}, -2, 2, false);
    const Var images(nn::to_ours(generated.value().to_host(), nn::Layout::kConvOIHW).to(device()), true);
    if (stores("eval.y.2")) {
      const NoGrad no_grad;
      net->train(false);
      compare_maps("eval.y", (*net)(images));
      net->train(true);
    }
    const std::vector<Var> maps = (*net)(images);
    compare_maps("y", maps);
    Var total;
    for (size_t i = 0; i < maps.size(); ++i) {
      const Var term = upstream(maps[i], fmt::format("dy.{}", i + 2)) * (1 / static_cast<double>(maps[i].dim(3)));
      total = total ? total + term : term;
    }
    total.backward();
    compare_map_gradient("grad.images", images);
    compare_gradients(*net);
    return finish();
  }

 private:
  BackboneKind kind() const {
    using enum BackboneKind;
    const std::string all = prefix();
    for (const auto& [name, kind] : {std::pair{".darknet53.", kDarkNet53}, std::pair{".cspdarknet53.", kCspDarkNet53},
                                     std::pair{".pvt_b1.", kPvtV2B1}, std::pair{".pvt_b2_li.", kPvtV2B2Linear}})
      if (all.ends_with(name)) return kind;
    fail("{}: no backbone is known by the prefix", all);
  }
  void compare_maps(const std::string& key, const std::vector<Var>& maps) {
    for (size_t i = 0; i < maps.size(); ++i) compare_map(fmt::format("{}.{}", key, i + 2), maps[i].value());
  }
};

const bool kAdded = add_network(
    {.name = "backbones of SparseInst",
     .recognises =
         [](const SafeTensors& f) { return f.contains("y.2") && f.contains("y.4") && f.contains("grad.images"); },
     .check = check_with<BackboneGolden>});

}  // namespace

}  // namespace tessera::goldens
