// The trained parameters of EffSeg's Table 3 with the deformable encoder; those with the FPN stand in
// effseg_model_test.cpp.
#include <doctest/doctest.h>

#include "models/effseg/effseg.h"

namespace tessera::test {

using namespace effseg;

TEST_CASE("effseg: the networks of Table 3 with the deformable encoder have its numbers of parameters") {
  const auto thousands = [](HeadKind kind) {
    Config config;
    config.neck.kind = NeckKind::kDino;
    config.head.kind = kind;
    Random random(1);
    EffSeg model(config, random);
    return (nn::count_parameters(model, true) + 500) / 1000;
  };
  CHECK(thousands(HeadKind::kMaskRcnn) == 45020);
  CHECK(thousands(HeadKind::kPointRend) == 45306);
  CHECK(thousands(HeadKind::kRefineMask) == 48694);
  CHECK(thousands(HeadKind::kEffSeg) == 46323);
}

}  // namespace tessera::test
