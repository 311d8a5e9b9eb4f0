// The trained parameters of the networks in EffSeg's Table 3: detector and mask head.
#include <doctest/doctest.h>

#include "models/effseg/head.h"
#include "models/fqdet/detector.h"
#include "models/roi_heads/point_rend.h"
#include "models/roi_heads/refine_mask.h"

namespace tessera::test {

using namespace roi_heads;

namespace {

// In thousands.
i64 thousands(nn::Module& module) {
  return (nn::count_parameters(module, true) + 500) / 1000;
}

fqdet::Detector detector(NeckKind neck) {
  Random random(1);
  fqdet::Config config;
  config.neck.kind = neck;
  return fqdet::Detector(config, random);
}

struct Network : nn::Module {
  Network(nn::Module& first, nn::Module& second) : detector(first), head(second) {}
  void visit(nn::Visitor& v) override {
    v.child("", detector);
    v.child("heads.gvd.heads.2", head);
  }
  nn::Module &detector, &head;
};

}  // namespace

TEST_CASE("two-stage networks: the parameters of Table 3, with the FPN and with the deformable encoder") {
  Random random(1);
  MaskRcnn mask_rcnn(256, 80, random);
  PointRend point_rend(256, 80, {}, random);
  RefineMask refine_mask(256, 80, random);
  effseg::EffSegHead effseg({}, 256, random);
  const auto check = [&](NeckKind neck, const std::array<i64, 4>& wanted) {
    fqdet::Detector found = detector(neck);
    const std::array<MaskHead*, 4> heads = {&mask_rcnn, &point_rend, &refine_mask, &effseg};
    for (size_t i = 0; i < heads.size(); ++i) {
      Network network(found, *heads[i]);
      CHECK(thousands(network) == wanted[i]);
    }
  };
  check(NeckKind::kFpn, {37507, 37793, 41182, 38810});
  check(NeckKind::kDino, {45020, 45306, 48694, 46323});
}

}  // namespace tessera::test
