// A SparseInst small enough for unit tests.
#pragma once

#include <memory>

#include "models/sparseinst/sparseinst.h"
#include "tests/models/rectangles.h"

namespace tessera::test {

inline sparseinst::Config tiny_config() {
  sparseinst::Config config;
  config.num_classes = 3;
  config.num_masks = 6;
  config.kernel_dim = 8;
  config.backbone.kind = BackboneKind::kTiny;
  config.backbone.norm = nn::Norm::kBatch;
  config.encoder.channels = 16;
  config.decoder.depth = 2;
  config.decoder.width = 16;
  config.iam.groups = 2;
  return config;
}

inline std::unique_ptr<sparseinst::SparseInst> tiny_model(const sparseinst::Config& config = tiny_config()) {
  Random random(7);
  return std::make_unique<sparseinst::SparseInst>(config, random);
}

}  // namespace tessera::test
