#include "models/fqdet/decoder.h"

#include "autograd/pointwise.h"
#include "nn/profile.h"

namespace tessera::fqdet {

DecoderLayer::DecoderLayer(const DecoderConfig& config, i64 C, i64 levels, Random& random)
    : look_norm_(C),
      talk_norm_(C),
      update_norm_(C),
      look_({.channels = C,
             .heads = config.heads,
             .levels = levels,
             .points = config.points,
             .names = nn::MsDeformAttnConfig::Names::kFqdet},
            random),
      talk_(C, config.heads, random),
      widen_(C, config.hidden, random, ops::Activation::kRelu),
      narrow_(config.hidden, C, random) {}

Var DecoderLayer::operator()(Var q, const Var& encoding, const Memory& memory) const {
  const nn::Running running(*this);
  const auto placed = [&](const Var& x) { return encoding ? x + encoding : x; };
  q = q + look_(placed(look_norm_(q)), memory.reference, memory.tokens, memory.levels);  // [B, n, C]
  const Var n = talk_norm_(q), key = placed(n);
  q = q + talk_(key, key, n);
  return q + narrow_(widen_(update_norm_(q)));
}

void DecoderLayer::visit(nn::Visitor& v) {
  v.child("0.attn.norm", look_norm_);
  v.child("0.attn.msda", look_);
  v.child("1.norm", talk_norm_);
  v.child("1.mha", talk_);
  v.child("2.mlp1.norm", update_norm_);
  v.child("2.mlp1.lin", widen_);
  v.child("2.mlp2.lin", narrow_);
}

}  // namespace tessera::fqdet
