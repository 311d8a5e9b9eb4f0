// A backbone: the network that turns images into feature maps, which the models build on.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "nn/conv_norm.h"
#include "tensor/fields.h"

namespace tessera {

enum class BackboneKind {
  kTiny,
  kResNet18,
  kResNet34,
  kResNet50,
  kResNet101,
  kMobileNetV2,
  kDarkNet53,
  kCspDarkNet53,
  kPvtV2B1,
  kPvtV2B2Linear,
};
constexpr auto names_of(BackboneKind) {
  return std::array{
      std::pair{"tiny", BackboneKind::kTiny},           std::pair{"resnet18", BackboneKind::kResNet18},
      std::pair{"resnet34", BackboneKind::kResNet34},   std::pair{"resnet50", BackboneKind::kResNet50},
      std::pair{"resnet101", BackboneKind::kResNet101}, std::pair{"mobilenet_v2", BackboneKind::kMobileNetV2},
      std::pair{"darknet53", BackboneKind::kDarkNet53}, std::pair{"cspdarknet53", BackboneKind::kCspDarkNet53},
      std::pair{"pvt_v2_b1", BackboneKind::kPvtV2B1},   std::pair{"pvt_v2_b2_li", BackboneKind::kPvtV2B2Linear}};
}

// Whose names a ResNet's parts have: detectron2's ("stem.conv1", "res2.0.conv1", "...conv1.norm") or torchvision's
// ("conv1", "layer1.0.conv1", "...bn1").
enum class BackboneNames { kDetectron2, kTorchvision };
constexpr auto names_of(BackboneNames) {
  return std::array{std::pair{"detectron2", BackboneNames::kDetectron2},
                    std::pair{"torchvision", BackboneNames::kTorchvision}};
}

// The kind decides which options there are besides.
struct BackboneConfig {
  BackboneKind kind = BackboneKind::kResNet50;
  nn::Norm norm = nn::Norm::kFrozenBatch;
  BackboneNames names = BackboneNames::kDetectron2;
  bool deep_stem = false, stride_in_1x1 = false;
  i64 freeze_at = 0;
  nn::Deform deform = nn::Deform::kNone;
  i64 deform_from = 4;
  double width = 1;
  bool same_padding = false;
  double drop_path = 0.1;

  template <class Field>
  void fields(Field&& field) {
    using enum BackboneKind;
    const bool mobile = kind == kMobileNetV2, dark = kind == kDarkNet53 || kind == kCspDarkNet53;
    const bool pvt = kind == kPvtV2B1 || kind == kPvtV2B2Linear;
    TESSERA_FIELD(kind, "the network");
    if (field.every_kind || !pvt)
      TESSERA_FIELD(norm, "batch normalisation: frozen, with frozen statistics alone, or with those of the batch");
    if (field.every_kind || !(mobile || dark || pvt)) {
      TESSERA_FIELD(names, "ResNets: whose names the parts have; ResNet-D: timm's, which are torchvision's");
      TESSERA_FIELD(deep_stem, "ResNet-D: three 3x3 convolutions, average-pool shortcuts");
      TESSERA_FIELD(stride_in_1x1, "ResNets: a stage's stride in its first 1x1 convolution, else in the 3x3");
      TESSERA_FIELD(freeze_at, "ResNets: 0: all is trained, 1: the stem is not, 2: nor is res2, ... 5: nothing is",
                    between(0, 5));
      TESSERA_FIELD(deform, "ResNets: deformable 3x3 convolutions, version 1 or 2");
      TESSERA_FIELD(deform_from, "ResNets: ... from this stage (4: res4) to res5", between(2, 5));
    }
    if (field.every_kind || mobile) {
      TESSERA_FIELD(width, "MobileNetV2: factor on the channels", above(0).at_most(10));
      TESSERA_FIELD(
          same_padding,
          "MobileNetV2: TensorFlow's padding: at stride 2 nothing before, one pixel after; else one on all sides");
    }
    if (field.every_kind || pvt)
      TESSERA_FIELD(drop_path, "PVTv2: share of images that the last block's branches are left out for in training",
                    at_least(0).below(1));
  }
};

// One output of a backbone.
struct FeatureLevel {
  i64 channels, stride;
};

// The maps that a backbone can give are counted as the rows of the table in its paper: of ResNets 1 to 5, conv1 and
// C2 .. C5 at strides 2 to 32; of MobileNetV2 1 to 9 (mobilenet_v2.h), of DarkNets 1 to 5 (darknet.h), of PVTv2 1 to 4
// (pvt_v2.h).
class Backbone : public nn::Module {
 public:
  // images [N, H, W, 3] of any size -> the rows that were asked for, [N, ceil(H / stride), ceil(W / stride), channels].
  // random: for each image what stochastic depth draws from in training; of none no branch is left out.
  // came: hears of every output as soon as it is there, which one it is and the map, while the rest is still to come.
  // Intermediates: c1, c2 and so on, of every row.
  using Came = std::function<void(size_t output, const Var& map)>;
  std::vector<Var> operator()(const Var& images, std::span<Random> random = {}, const Came& came = {});
  const std::vector<FeatureLevel>& levels() const { return levels_; }  // of the outputs
  virtual bool draws() const { return false; }                         // from `random`

 protected:
  Backbone(BackboneKind kind, std::vector<i64> rows);
  i64 last_row() const { return rows_.back(); }  // what lies behind it is not built
  void built(i64 row, i64 channels);
  virtual std::vector<Var> forward(const Var& images, std::span<Random> random) = 0;
  void ran(i64 row, const Var& x, std::vector<Var>& outputs) const;

 private:
  bool asked(i64 row) const { return std::ranges::find(rows_, row) != rows_.end(); }

  BackboneKind kind_;
  std::vector<i64> rows_;
  std::vector<FeatureLevel> levels_;
  const Came* came_ = nullptr;  // of the pass that runs
};

// The last row at each of these strides.
std::vector<i64> rows_at(BackboneKind kind, const std::vector<i64>& strides);

// rows: what it gives, ascending; of none those at strides 8, 16 and 32.
std::unique_ptr<Backbone> make_backbone(const BackboneConfig& config, Random& random, std::vector<i64> rows = {});

}  // namespace tessera
