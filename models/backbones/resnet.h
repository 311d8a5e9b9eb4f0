// ResNet (He et al. 2016) as detectron2 and torchvision build it, and ResNet-D (He et al. 2019, "Bag of tricks") as
// timm does.
//
//   image -> conv1 -> pool, res2 -> res3 -> res4 -> res5      rows 1 .. 5 at strides 2, 4, 8, 16, 32
//
// Parameter names are the reference's, as configured; ResNet-D's are timm's ("conv1.0", "bn1", "layer1.0.conv1",
// "...bn1").
#pragma once

#include <optional>
#include <vector>

#include "models/backbones/backbone.h"

namespace tessera {

// y = relu(f(x) + shortcut(x)); f is 3x3, 3x3 (basic) or 1x1, 3x3, 1x1 (bottleneck).
class ResidualBlock : public nn::Module {
 public:
  struct Plan {
    i64 in, mid, out, stride;
    bool bottleneck;
    nn::Norm norm;
    nn::Deform deform;
  };
  ResidualBlock(const Plan& plan, const BackboneConfig& config, Random& random);
  Var operator()(const Var& x);
  void visit(nn::Visitor& v) override;

 private:
  bool shortcut_first_, pooled_shortcut_;
  nn::ConvNorm conv1_, conv2_;
  std::optional<nn::ConvNorm> conv3_;     // bottlenecks
  std::optional<nn::ConvNorm> shortcut_;  // where the size or the number of channels changes
};

class ResNet : public Backbone {
 public:
  ResNet(const BackboneConfig& config, Random& random, std::vector<i64> rows = {});

  // Intermediates: also stem, behind the pooling, and offset, of the last deformable convolution.
  void visit(nn::Visitor& v) override;

 private:
  std::vector<Var> forward(const Var& images, std::span<Random> random) override;

  BackboneConfig config_;
  std::vector<nn::ConvNorm> stem_;                  // one convolution, three in ResNet-D
  std::vector<std::vector<ResidualBlock>> stages_;  // res2 .. res5
};

}  // namespace tessera
