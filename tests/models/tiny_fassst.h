// A FASSST small enough for unit tests: pictures of 64 x 64, 4 x 4 cells.
#pragma once

#include <memory>

#include "models/fassst/fassst.h"
#include "tests/models/rectangles.h"

namespace tessera::test {

inline fassst::Config tiny_fassst_config() {
  fassst::Config config;
  config.num_classes = 3;
  config.input = {64, 64};
  config.backbone = {.kind = BackboneKind::kTiny, .norm = nn::Norm::kBatch, .names = BackboneNames::kTorchvision};
  config.head_depth = 4;
  config.attention.grid = {4, 4};
  config.attention.widths = {16, 24, 16, 16, 24};
  config.mask = {.channels = 8, .first_stride = 4, .side = 8, .depth = 2};
  return config;
}

// Edges, learned by the focal loss.
inline fassst::Config tiny_literal_config() {
  fassst::Config config = tiny_fassst_config();
  config.attention.boxes = fassst::BoxForm::kEdges;
  config.loss.boxes = fassst::BoxLoss::kFocal;
  return config;
}

inline std::unique_ptr<fassst::Fassst> tiny_fassst(const fassst::Config& config = tiny_fassst_config()) {
  Random random(7);
  return std::make_unique<fassst::Fassst>(config, random);
}

}  // namespace tessera::test
