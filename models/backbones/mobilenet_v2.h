// MobileNetV2 (Sandler et al. 2018) without its classifier, as torchvision builds it.
//
//   row   1     2    3    4    5    6    7     8     9         of the paper's Table 2, at width 1
//   out   32    16   24   32   64   96   160   320   1280      channels
//   by    2     2    4    8    16   16   32    32    32        stride
//
// Row 1 is a 3x3 convolution, 9 a 1x1, the others are inverted residuals. Parameter names are those of torchvision's
// mobilenet_v2 ("features.0.0", "features.2.conv.1.0", ... "features.18.1").
#pragma once

#include <optional>
#include <vector>

#include "models/backbones/backbone.h"

namespace tessera {

// Convolution -> batch normalisation -> min(max(x, 0), 6), called <name>.0 and <name>.1.
class ConvRelu6 : public nn::ConvNorm {
 public:
  ConvRelu6() = default;  // to be assigned
  ConvRelu6(const std::string& name, const nn::ConvNormConfig& config, bool same_padding, Random& random);
  Var operator()(const Var& x);
  // As of nn::ConvNorm; null also where TensorFlow's padding is a step of its own.
  const ops::PackedConv2d* packed(const Var& x) const { return pads_same_ ? nullptr : ConvNorm::packed(x); }

 private:
  bool pads_same_ = false;
};

// y = project(depthwise(expand(x))), plus x where the shapes agree: 1x1 to t times the channels (absent for t = 1),
// 3x3 on each channel alone, 1x1 without activation.
class InvertedResidual : public nn::Module {
 public:
  struct Plan {
    i64 in, out, expansion, stride;
  };
  InvertedResidual(const Plan& plan, const BackboneConfig& config, Random& random);
  Var operator()(const Var& x);
  void visit(nn::Visitor& v) override;

 private:
  bool residual_;
  std::optional<ConvRelu6> expand_;
  ConvRelu6 depthwise_;
  nn::ConvNorm project_;
};

class MobileNetV2 : public Backbone {
 public:
  MobileNetV2(const BackboneConfig& config, Random& random, std::vector<i64> rows = {});

  void visit(nn::Visitor& v) override;

 private:
  std::vector<Var> forward(const Var& images, std::span<Random> random) override;

  ConvRelu6 stem_;
  std::vector<std::vector<InvertedResidual>> blocks_;  // of the rows 2 .. 8
  std::optional<ConvRelu6> last_;                      // row 9
};

}  // namespace tessera
