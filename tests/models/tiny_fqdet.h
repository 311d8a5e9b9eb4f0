// An FQDet small enough for unit tests.
#pragma once

#include <memory>

#include "models/fqdet/fqdet.h"
#include "tests/models/rectangles.h"

namespace tessera::test {

inline fqdet::Config tiny_fqdet_config() {
  fqdet::Config config;
  config.num_classes = 3;
  config.queries = 60;
  config.backbone.kind = BackboneKind::kTiny;
  config.backbone.norm = nn::Norm::kBatch;
  config.backbone.freeze_at = 0;
  config.neck.channels = 64;
  config.neck.last_level = 6;
  config.anchors = {.sizes = 1, .ratios = {0.5, 1, 2}};
  config.decoder = {.layers = 2, .heads = 4, .hidden = 96};
  return config;
}

// With a box-score head and the release's weights.
inline fqdet::Config tiny_release_config() {
  fqdet::Config config = tiny_fqdet_config();
  config.form = fqdet::Form::kRelease;
  config.box_score = true;
  config.loss = {.class_weight = 0.5, .box_weight = 1.85};
  return config;
}

inline std::unique_ptr<fqdet::FQDet> tiny_fqdet(const fqdet::Config& config = tiny_fqdet_config()) {
  Random random(7);
  return std::make_unique<fqdet::FQDet>(config, random);
}

}  // namespace tessera::test
