// The units of the head: a normalisation, ReLU, then the layer with weights.
#pragma once

#include "nn/layers.h"
#include "nn/norm.h"

namespace tessera::fqdet {

// GroupNorm of 8 groups, statistics per picture and map -> ReLU -> convolution
class NormConv : public nn::Module {
 public:
  NormConv() = default;
  NormConv(const nn::Conv2dConfig& config, Random& random);
  Var operator()(const Var& x) const;
  void visit(nn::Visitor& v) override;

 private:
  nn::GroupNorm norm_;
  nn::Conv2d conv_;
};

// LayerNorm -> ReLU -> linear layer
class NormLinear : public nn::Module {
 public:
  NormLinear() = default;
  NormLinear(i64 in, i64 out, Random& random) : norm_(in), lin_(in, out, random) {}
  Var operator()(const Var& x) const;
  void visit(nn::Visitor& v) override;

 private:
  nn::LayerNorm norm_;
  nn::Linear lin_;
};

}  // namespace tessera::fqdet
