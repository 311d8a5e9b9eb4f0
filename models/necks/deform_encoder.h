// The neck of FQDetV2's "DefEnc" rows: MMDetection's channel mapper and the encoder of Deformable DETR.
//
//   C_first .. C5 -> 1x1, GN                                    P_first .. P5
//   C5 -> 3x3 at stride 2, GN -> 3x3 at stride 2, GN -> ...     P6, P7, ...
//   all levels as tokens, fine first -> deformable encoder -> all levels
//
// Each token's query is token + sine position + embedding of its level. Cells that are padding give no value, and
// positions count in parts of the picture, not of the padded map: a cell is picture where the pixel is that the nearest
// resize of the picture's mask reads for it.
#pragma once

#include "models/necks/conv_group_norm.h"
#include "models/necks/encoder_layer.h"
#include "models/necks/neck.h"

namespace tessera {

class DeformEncoder : public nn::Module {
 public:
  DeformEncoder(const NeckConfig& config, i64 levels, Random& random);
  // maps fine first, [N, h, w, C] -> the same shapes; sizes and padded as of Neck. Intermediates: positions,
  // [N, S, C].
  std::vector<Var> operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                              ImageSize padded) const;
  void visit(nn::Visitor& v) override;

 private:
  i64 channels_;
  Var level_embed_;  // [L, C]
  std::vector<EncoderLayer> layers_;
};

class DeformEncoderNeck : public Neck {
 public:
  DeformEncoderNeck(const NeckConfig& config, const std::vector<FeatureLevel>& in, Random& random);
  std::vector<Var> operator()(const std::vector<Var>& maps, const std::vector<ImageSize>& sizes,
                              ImageSize padded) override;
  void visit(nn::Visitor& v) override;

 private:
  std::vector<ConvGroupNorm> mapper_;  // of P_first .. P_last
  DeformEncoder encoder_;
};

}  // namespace tessera
