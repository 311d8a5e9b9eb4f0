// Feature pyramid network (Lin et al. 2017) as MMDetection builds it: neither normalisation nor activation.
//
//   L5 = lateral(C5),  L_k = lateral(C_k) + nearest(L_{k+1})      1x1
//   P_k = conv(L_k)                                               3x3, k <= 5
//   P6 = conv(L5),  P_k = conv(ReLU(P_{k-1}))                     3x3 at stride 2, k >= 7
//
// The extra levels come of the lateral L5, not of P5 ("on_lateral"); the paper of EffSeg says P5.
#pragma once

#include "models/necks/neck.h"
#include "nn/layers.h"

namespace tessera {

// L: laterals[k] of maps[k], finest first, each plus the next coarser one enlarged to its size.
std::vector<Var> top_down(const std::vector<nn::Conv2d>& laterals, const std::vector<Var>& maps);

class FpnNeck : public Neck {
 public:
  FpnNeck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random);
  std::vector<Var> operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                              ImageSize padded) override;
  void visit(nn::Visitor& v) override;

 private:
  std::vector<nn::Conv2d> lateral_convs_;  // of C_first .. C5
  std::vector<nn::Conv2d> fpn_convs_;      // of P_first .. P_last
};

}  // namespace tessera
