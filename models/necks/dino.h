// The neck of EffSeg's "DefEnc" rows: the pixel decoder of Mask DINO (Li et al. 2023) up to its maps, and a projection
// per level.
//
//   C5, C4, C3 -> 1x1, GN                       P5, P4, P3
//   C5 -> 3x3 at stride 2, GN -> 3x3 at stride 2, GN   P6, P7
//   P7 .. P3 as tokens, coarse first -> deformable encoder -> P7 .. P3
//   P2 = mask_features(layer_1(adapter_1(C2) + bilinear(P3)))
//
// Each token's query is token + sine position + embedding of its level. The reference lists the positions of P6 before
// those of P7, where the tokens of P7 stand before those of P6, so that among these two each token has the position of
// another cell and level; its weights were trained so. pe_order_bug reproduces that. Padding is not masked.
#pragma once

#include "models/necks/conv_group_norm.h"
#include "models/necks/encoder_layer.h"
#include "models/necks/neck.h"

namespace tessera {

class DinoEncoder : public nn::Module {
 public:
  DinoEncoder(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random);
  // C2 .. C5 -> P2 .. P7, [N, h, w, C]. Intermediates: positions, [1, S, C].
  std::vector<Var> operator()(const std::vector<Var>& maps) const;
  void visit(nn::Visitor& v) override;

 private:
  Var positions(const LevelSizes& levels, Device device) const;  // [1, S, C]

  NeckConfig config_;
  std::vector<ConvGroupNorm> input_proj_;  // of P5, P4, P3, P6, P7
  Var level_embed_;                        // [5, C]
  std::vector<EncoderLayer> layers_;
  ConvGroupNorm adapter_, layer_;
  nn::Conv2d mask_features_;
};

class DinoNeck : public Neck {
 public:
  DinoNeck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random);
  std::vector<Var> operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                              ImageSize padded) override;
  void visit(nn::Visitor& v) override;

 private:
  DinoEncoder dino_;
  std::vector<nn::Conv2d> projections_;  // of P2 .. P7
};

}  // namespace tessera
