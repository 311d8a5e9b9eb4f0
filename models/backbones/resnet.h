// ResNet (He et al. 2016) as detectron2 builds it, and ResNet-D (He et al. 2019, "Bag of tricks") as timm does.
//
//   image -> stem -> res2 -> res3 -> res4 -> res5             strides 2 (stem), 4, 8, 16, 32
//
// Parameter names are the reference's: detectron2's for ResNet ("stem.conv1", "res2.0.conv1", "...norm"), timm's for
// ResNet-D ("conv1.0", "bn1", "layer1.0.conv1", "...bn1").
#pragma once

#include <vector>

#include "nn/conv_norm.h"

namespace tessera {

enum class ResNetKind { kTiny, kResNet18, kResNet34, kResNet50, kResNet101 };
constexpr auto names_of(ResNetKind) {
  return std::array{std::pair{"tiny", ResNetKind::kTiny}, std::pair{"resnet18", ResNetKind::kResNet18},
                    std::pair{"resnet34", ResNetKind::kResNet34}, std::pair{"resnet50", ResNetKind::kResNet50},
                    std::pair{"resnet101", ResNetKind::kResNet101}};
}

struct ResNetConfig {
  ResNetKind kind = ResNetKind::kResNet50;
  bool deep_stem = false;  // ResNet-D: three 3x3 convolutions, average-pool shortcuts
  nn::Norm norm = nn::Norm::kFrozenBatch;
  bool stride_in_1x1 = false;             // bottlenecks: the stride of a stage in its first 1x1, else in the 3x3
  i64 freeze_at = 0;                      // 1: the stem is not trained; 2: nor is res2; ... 5: nothing is
  nn::Deform deform = nn::Deform::kNone;  // of the 3x3 convolutions ...
  i64 deform_from = 4;                    // ... in the stages res<deform_from> to res5

  template <class Field>
  void fields(Field&& field) {
    field("kind", kind);
    field("deep_stem", deep_stem);
    field("norm", norm);
    field("stride_in_1x1", stride_in_1x1);
    field("freeze_at", freeze_at);
    field("deform", deform);
    field("deform_from", deform_from);
  }
};

// One output of a backbone.
struct FeatureLevel {
  i64 channels, stride;
};

// y = relu(f(x) + shortcut(x)); f is 3x3, 3x3 (basic) or 1x1, 3x3, 1x1 (bottleneck).
class ResidualBlock : public nn::Module {
 public:
  struct Plan {
    i64 in, mid, out, stride;
    bool bottleneck;
    nn::Norm norm;
    nn::Deform deform;
  };
  ResidualBlock(const Plan& plan, const ResNetConfig& config, Random& random);
  Var operator()(const Var& x, nn::Taps* taps);
  void visit(nn::Visitor& v) override;
  void freeze();

 private:
  bool bottleneck_, timm_names_, pooled_shortcut_;
  nn::ConvNorm conv1_, conv2_;
  std::optional<nn::ConvNorm> conv3_;     // bottlenecks
  std::optional<nn::ConvNorm> shortcut_;  // where the size or the number of channels changes
};

class ResNet : public nn::Module {
 public:
  ResNet(const ResNetConfig& config, Random& random);

  // images [N, H, W, 3], H and W multiples of 32 -> res3, res4, res5 at strides 8, 16, 32. Taps: stem, c2 .. c5,
  // offset.
  std::vector<Var> operator()(const Var& images, nn::Taps* taps = nullptr);
  const std::vector<FeatureLevel>& levels() const { return levels_; }  // of the outputs
  void visit(nn::Visitor& v) override;

 private:
  ResNetConfig config_;
  std::vector<nn::ConvNorm> stem_;                  // one convolution, three in ResNet-D
  std::vector<std::vector<ResidualBlock>> stages_;  // res2 .. res5
  std::vector<FeatureLevel> levels_;
};

}  // namespace tessera
