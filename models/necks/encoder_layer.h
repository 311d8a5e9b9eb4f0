// What the encoders of Deformable DETR (Zhu et al. 2021) and its successors are made of: maps as one row of tokens, the
// places that tokens refer to, and the layer
//
//   x = LN(x + MSDA(query = x + positions, values = x)),   x = LN(x + W2 ReLU(W1 x))
//
// N images, S tokens: the cells of all L levels, one level after the other, each row by row; C channels
#pragma once

#include <vector>

#include "nn/ms_deform_attn.h"
#include "nn/norm.h"

namespace tessera {

using LevelSizes = std::vector<ops::LevelSize>;

LevelSizes sizes_of(const std::vector<Var>& maps);
Var tokens_of(const std::vector<Var>& maps);                            // [N, h, w, C] each -> [N, S, C]
std::vector<Var> maps_of(const Var& tokens, const LevelSizes& levels);  // and back

// Sine positions (Carion et al. 2020) of the cells of one level, [N, h w, C]: C / 2 values for y, then as many for x.
// For row y = 1, 2, ... of image n, of which valid[n] cells are picture and the rest padding:
//
//   e = 2 pi min(y, valid height) / (valid height + 1e-6);   sin(e / t_j), cos(e / t_j), ...   t_j = T^(4 j / C)
//
// and e = 0 in columns that are all padding; x likewise. Temperature T; f32.
Tensor sine_positions(const ops::LevelSize& level, const LevelSizes& valid, i64 channels, double temperature,
                      Device device);

// The centre of each token's cell in each level, [N, S, L, 2] as (x, y): in parts of what is picture in its own level,
// and there in parts of the whole padded level. valid[n][l]: cells of image n that are picture.
Tensor reference_points(const LevelSizes& levels, const std::vector<LevelSizes>& valid);

struct EncoderLayerConfig {
  nn::MsDeformAttnConfig attention;
  i64 ffn = 1024;
  enum class Names { kDeformableDetr, kMmcv } names = Names::kDeformableDetr;  // norm1, linear1 or norms.0, ffn.layers
};

class EncoderLayer : public nn::Module {
 public:
  EncoderLayer(const EncoderLayerConfig& config, Random& random);

  // tokens [N, S, C], positions [N or 1, S, C], reference and keep as of nn::MsDeformAttn -> [N, S, C]
  Var operator()(const Var& tokens, const Var& positions, const Var& reference, const LevelSizes& levels,
                 const Tensor& keep = {}) const;
  void visit(nn::Visitor& v) override;

 private:
  EncoderLayerConfig::Names names_;
  nn::MsDeformAttn attention_;
  nn::LayerNorm norm1_, norm2_;
  nn::Linear linear1_, linear2_;
};

}  // namespace tessera
