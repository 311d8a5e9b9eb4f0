// The golden results of the necks of FQDet and EffSeg: FPN, the Mask DINO encoder with either order of positions, the
// deformable encoder of two pictures with padding. Backbone maps are generated as c.2 .. c.5, the deformable encoder's
// inputs as p.3, p.4, ..; upstream gradients as dy.0, dy.1, ..
//
// Metadata: prefix, height, width, channels; in_channels "[16, 24, 32, 40]"; layers, ffn; pe_order_bug; valid_wh
// "((w, h), ...)". The attention has 8 heads and 4 points.
#include "autograd/pointwise.h"
#include "models/necks/deform_encoder.h"
#include "models/necks/dino.h"
#include "models/necks/fpn.h"
#include "tests/goldens/module_golden.h"
#include "tests/goldens/ops_goldens.h"

namespace tessera::goldens {

namespace {

class NeckGolden : public ModuleGolden {
 public:
  // Some of the million sampling points lie within rounding of a pixel, where the slope of bilinear sampling jumps.
  NeckGolden(const SafeTensors& file, Report& report)
      : ModuleGolden(file, report, {.forward = kForwardTolerance, .gradient = 1e-3}) {}

  int run_fpn() {
    FpnNeck fpn({.channels = number("channels"), .last_level = 1 + count("y.")}, backbone_levels(), random_);
    generate(fpn, without("body."));
    const std::vector<Var> maps = inputs("c.", 2, numbers("in_channels"));
    return check(maps, "c.", 2, fpn(maps, {}, {}), fpn, without("body."));
  }

  int run_dino() {
    DinoEncoder dino({.kind = NeckKind::kDino,
                      .channels = number("channels"),
                      .layers = number("layers"),
                      .ffn = number("ffn"),
                      .pe_order_bug = flag("pe_order_bug")},
                     backbone_levels(), random_);
    generate(dino);
    const std::vector<Var> maps = inputs("c.", 2, numbers("in_channels"));
    return check(maps, "c.", 2, dino(maps), dino);
  }

  int run_deform_encoder() {
    const i64 levels = count("y.");
    DeformEncoder encoder({.kind = NeckKind::kDeformEncoder,
                           .channels = number("channels"),
                           .layers = number("layers"),
                           .ffn = number("ffn")},
                          levels, random_);
    generate(encoder);
    const std::vector<Var> maps = inputs("p.", 3, std::vector<i64>(static_cast<size_t>(levels), number("channels")));
    const std::vector<i64> wh = numbers("valid_wh");
    const std::vector<Var> pyramid =
        encoder(maps, {{wh[1], wh[0]}, {wh[3], wh[2]}}, {number("height"), number("width")});
    return check(maps, "p.", 3, pyramid, encoder);
  }

 private:
  i64 count(const std::string& before) const {
    i64 k = 0;
    while (stores(fmt::format("{}{}", before, k))) ++k;
    return k;
  }

  std::vector<FeatureLevel> backbone_levels() const {
    std::vector<FeatureLevel> levels;
    for (const i64 channels : numbers("in_channels")) levels.push_back({channels, i64{4} << levels.size()});
    return levels;
  }

  // Of two pictures, from stride 2^first on.
  std::vector<Var> inputs(const std::string& name, i64 first, const std::vector<i64>& channels) const {
    std::vector<Var> maps;
    for (const i64 C : channels) {
      const i64 level = first + std::ssize(maps), stride = i64{1} << level;
      const auto cells = [&](i64 side) { return (side + stride - 1) / stride; };
      maps.push_back(map(fmt::format("{}{}", name, level), {2, C, cells(number("height")), cells(number("width"))}));
    }
    return maps;
  }

  int check(const std::vector<Var>& maps, const std::string& name, i64 first, const std::vector<Var>& pyramid,
            nn::Module& module, const Naming& naming = nullptr) {
    Var total;
    for (size_t k = 0; k < pyramid.size(); ++k) {
      compare_map(fmt::format("y.{}", k), pyramid[k].value());
      const Var term = upstream(pyramid[k], fmt::format("dy.{}", k));
      total = total ? total + term : term;
    }
    total.backward();
    for (size_t k = 0; k < maps.size(); ++k)
      compare_map_gradient(fmt::format("grad.{}{}", name, first + static_cast<i64>(k)), maps[k]);
    compare_gradients(module, naming);
    return finish();
  }

  Random random_{0};
};

template <int (NeckGolden::*Run)()>
int check_neck(const SafeTensors& file, Report& report) {
  return check_tries(report, [&](Report& attempt) { return (NeckGolden(file, attempt).*Run)(); });
}

const bool kAdded =
    add_network({"FPN", [](const SafeTensors& file) { return file.contains("grad.fpn_convs.0.conv.weight"); },
                 check_neck<&NeckGolden::run_fpn>}) &&
    add_network({"Mask DINO's encoder",
                 [](const SafeTensors& file) { return file.metadata().contains("pe_order_bug"); },
                 check_neck<&NeckGolden::run_dino>}) &&
    add_network({"deformable encoder", [](const SafeTensors& file) { return file.metadata().contains("valid_wh"); },
                 check_neck<&NeckGolden::run_deform_encoder>});

}  // namespace

}  // namespace tessera::goldens
