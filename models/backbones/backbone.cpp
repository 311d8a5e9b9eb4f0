#include "models/backbones/backbone.h"

#include "models/backbones/mobilenet_v2.h"
#include "models/backbones/resnet.h"

namespace tessera {

std::unique_ptr<Backbone> make_backbone(const BackboneConfig& config, Random& random) {
  if (config.kind == BackboneKind::kMobileNetV2) return std::make_unique<MobileNetV2>(config, random);
  return std::make_unique<ResNet>(config, random);
}

}  // namespace tessera
