// Stage 2: one layer of the decoder. All three parts are residual, with the normalisation in front.
//
//   q += MSDA(LN(q) + e, anchor; tokens)       a few samples per head and level, within the anchor
//   q += attention(n + e, n + e, n)            n = LN(q); among the queries of one picture
//   q += W2 ReLU(W1 LN(q))
//
// e: the encoding of the anchor's box (paper's form). The anchors stay as they are, and no layer but the last predicts.
#pragma once

#include "models/fqdet/config.h"
#include "nn/attention.h"
#include "nn/ms_deform_attn.h"
#include "nn/norm.h"

namespace tessera::fqdet {

// What the queries look at.
struct Memory {
  Var tokens;                          // [B, S, C]: the maps, one after the other
  std::vector<ops::LevelSize> levels;  // their sizes
  Var reference;                       // [B, n, 1, 4]: the queries' anchors, x y w h as parts of the picture
};

class DecoderLayer : public nn::Module {
 public:
  DecoderLayer(const DecoderConfig& config, i64 channels, i64 levels, Random& random);
  Var operator()(Var q, const Var& encoding, const Memory& memory) const;  // q [B, n, C], encoding alike or undefined
  void visit(nn::Visitor& v) override;

 private:
  nn::LayerNorm look_norm_, talk_norm_, update_norm_;
  nn::MsDeformAttn look_;
  nn::MultiheadAttention talk_;
  nn::Linear widen_, narrow_;
};

}  // namespace tessera::fqdet
