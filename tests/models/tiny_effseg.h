// An EffSeg small enough for unit tests.
#pragma once

#include <memory>

#include "models/effseg/effseg.h"
#include "tests/models/tiny_fqdet.h"

namespace tessera::test {

inline effseg::Config tiny_effseg_config(effseg::HeadKind kind = effseg::HeadKind::kEffSeg) {
  effseg::Config config;
  static_cast<fqdet::Config&>(config) = tiny_fqdet_config();
  config.head.kind = kind;
  config.head.effseg.fcn_layers = 1;
  config.head.effseg.refinements = 100;
  return config;
}

// It finds segments. Classes 0 and 1 are things, 2 is stuff. Weights are those of the beginning, so every score and
// every mask counts.
inline effseg::Config tiny_panoptic_config(effseg::HeadKind kind = effseg::HeadKind::kEffSeg) {
  effseg::Config config = tiny_effseg_config(kind);
  config.task = effseg::Task::kPanoptic;
  config.panoptic = {.score_threshold = 0,
                     .nms_threshold = 0.9,
                     .pixel_threshold = 0.1,
                     .least_overlap = 0.05,
                     .least_area = 0,
                     .things = 2};
  return config;
}

inline std::unique_ptr<effseg::EffSeg> tiny_effseg(const effseg::Config& config = tiny_effseg_config()) {
  Random random(7);
  return std::make_unique<effseg::EffSeg>(config, random);
}

}  // namespace tessera::test
