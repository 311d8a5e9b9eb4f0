// The way of FASSST from feature maps and boxes to masks: pyramid mask layers, region feature fusion, mask tail.
#pragma once

#include <optional>
#include <vector>

#include "models/fassst/config.h"
#include "nn/layers.h"
#include "nn/norm.h"

namespace tessera::fassst {

// The pyramid mask layers, top-down as in a feature pyramid network, neither normalisation nor activation:
//   M_k = lateral_k(row k) + nearest(M_{k+1}),   P_k = output_k(M_k) of the three finest      1x1 and 3x3
class Pyramid : public nn::Module {
 public:
  Pyramid(i64 channels, const std::vector<FeatureLevel>& in, Random& random);
  std::vector<Var> operator()(const std::vector<Var>& maps);  // finest first -> three, [B, h, w, C]
  void visit(nn::Visitor& v) override;

 private:
  std::vector<nn::Conv2d> laterals_, outputs_;
};

// Features of regions [R, 5] (regions() in boxes.h) on each level, S, S / 2 and S / 4 cells wide: RoIAlign with 2 x 2
// points in each.
std::vector<Var> region_features(const std::vector<Var>& levels, i64 first_stride, const Tensor& regions, i64 S);

// R = ReLU(R1 + up(R2 + up(R3))), up: bilinear, times 2; of one level ReLU(R1)           Cheng et al., eq. 3 and 4
Var fuse_regions(const std::vector<Var>& features);

// 3x3 convolutions with ReLU, and a transposed one of kernel 4 at stride 2: logits of a mask without class.
class MaskTail : public nn::Module {
 public:
  MaskTail(const MaskConfig& config, Random& random);
  Var operator()(Var x) const;  // [R, S, S, C] -> f32 [R, 2 S, 2 S]
  void visit(nn::Visitor& v) override;

 private:
  std::vector<nn::Conv2d> convs_;
  std::vector<nn::GroupNorm> norms_;  // none, or one per convolution
  nn::ConvTranspose2d deconv_;
};

}  // namespace tessera::fassst
