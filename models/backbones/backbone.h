// A backbone: the network that turns images into feature maps, which the models build on.
#pragma once

#include <memory>
#include <vector>

#include "nn/conv_norm.h"

namespace tessera {

enum class BackboneKind { kTiny, kResNet18, kResNet34, kResNet50, kResNet101, kMobileNetV2 };
constexpr auto names_of(BackboneKind) {
  return std::array{
      std::pair{"tiny", BackboneKind::kTiny},           std::pair{"resnet18", BackboneKind::kResNet18},
      std::pair{"resnet34", BackboneKind::kResNet34},   std::pair{"resnet50", BackboneKind::kResNet50},
      std::pair{"resnet101", BackboneKind::kResNet101}, std::pair{"mobilenet_v2", BackboneKind::kMobileNetV2}};
}

// The kind decides which options there are besides.
struct BackboneConfig {
  BackboneKind kind = BackboneKind::kResNet50;
  nn::Norm norm = nn::Norm::kFrozenBatch;
  // ResNets
  bool deep_stem = false;  // ResNet-D: three 3x3 convolutions, average-pool shortcuts
  bool stride_in_1x1 = false;             // bottlenecks: the stride of a stage in its first 1x1, else in the 3x3
  i64 freeze_at = 0;                      // 1: the stem is not trained; 2: nor is res2; ... 5: nothing is
  nn::Deform deform = nn::Deform::kNone;  // of the 3x3 convolutions ...
  i64 deform_from = 4;                    // ... in the stages res<deform_from> to res5
  // MobileNetV2
  double width = 1;           // factor on the channels
  bool same_padding = false;  // TensorFlow's: at stride 2 nothing before, one pixel after; else one on all sides

  template <class Field>
  void fields(Field&& field) {
    field("kind", kind);
    field("norm", norm);
    if (kind == BackboneKind::kMobileNetV2) {
      field("width", width);
      field("same_padding", same_padding);
    } else {
      field("deep_stem", deep_stem);
      field("stride_in_1x1", stride_in_1x1);
      field("freeze_at", freeze_at);
      field("deform", deform);
      field("deform_from", deform_from);
    }
  }
};

// One output of a backbone.
struct FeatureLevel {
  i64 channels, stride;
};

class Backbone : public nn::Module {
 public:
  // images [N, H, W, 3], H and W multiples of 32 -> feature maps at strides 8, 16, 32. Taps: stem, c2 .. c5.
  virtual std::vector<Var> operator()(const Var& images, nn::Taps* taps = nullptr) = 0;
  const std::vector<FeatureLevel>& levels() const { return levels_; }  // of the outputs

 protected:
  std::vector<FeatureLevel> levels_;
};

std::unique_ptr<Backbone> make_backbone(const BackboneConfig& config, Random& random);

}  // namespace tessera
