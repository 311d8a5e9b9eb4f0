// Convolution without bias -> batch normalisation -> sum with a shortcut (optional) -> activation: the unit of every
// residual network.
//
// With fixed statistics (frozen ones, or evaluation) the normalisation is an affine map per output channel and
// disappears into the convolution: weight' = weight * scale, bias' = shift. This costs one pass over the weights in
// place of two over the activations, equals the separate form within rounding, and gradients reach the weight through
// the product (nn/working_weights.h).
#pragma once

#include <optional>
#include <variant>

#include "nn/layers.h"
#include "nn/norm.h"

namespace tessera::nn {

enum class Norm {
  kFrozenBatch,
  kFrozenStatistics,  // scale and shift are trained
  kBatch,
};
constexpr auto names_of(Norm) {
  return std::array{std::pair{"frozen", Norm::kFrozenBatch}, std::pair{"frozen_statistics", Norm::kFrozenStatistics},
                    std::pair{"batch", Norm::kBatch}};
}

struct ConvNormConfig {
  // What state dicts call the two layers, among those of the owner: the normalisation lies inside the convolution
  // ("conv1.norm", detectron2) or beside it ("bn1", torchvision).
  std::string conv_name = "conv", norm_name = "conv.norm";
  i64 in = 0, out = 0, kernel = 1, stride = 1, groups = 1;
  std::optional<i64> padding = std::nullopt;  // kernel / 2
  Norm norm = Norm::kFrozenBatch;
  bool counted_norm = true;  // in the published FLOPs: detectron2's frozen one is, torchvision's is plain arithmetic
  Deform deform = Deform::kNone;
  ops::Activation activation = ops::Activation::kRelu;
};

// A child without a name: its layers have their full names.
class ConvNorm : public Module {
 public:
  ConvNorm() = default;
  ConvNorm(const ConvNormConfig& config, Random& random);  // weight: normal, std sqrt(2 / fan_out)
  // residual: added before the activation, or undefined.
  Var operator()(const Var& x, const Var& residual = {});
  void visit(Visitor& v) override;
  void fuse(const InferenceOptions& options) override;
  void unfuse() override;
  // The fused form, for an operator that runs several convolutions on x at once; null where it is not fused.
  const ops::PackedConv2d* packed(const Var& x) const;

  std::variant<FrozenBatchNorm, BatchNorm2d> norm;

 private:
  struct Folded {
    Var weight, shift;
  };
  Folded folded(DType dtype) const;  // with the normalisation's fixed statistics

  std::string conv_name_, norm_name_;
  bool frozen_statistics_ = false, counted_norm_ = true;
  Conv2d conv_;
  std::optional<OffsetConv> offset_;  // of a deformable convolution
  std::optional<ops::PackedConv2d> packed_;
};

}  // namespace tessera::nn
