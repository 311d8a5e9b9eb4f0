#include "models/fqdet/layers.h"

#include "autograd/pointwise.h"
#include "nn/profile.h"

namespace tessera::fqdet {

namespace {

constexpr i64 kGroups = 8;

}  // namespace

NormConv::NormConv(const nn::Conv2dConfig& config, Random& random) : norm_(kGroups, config.in), conv_(config, random) {}

Var NormConv::operator()(const Var& x) const {
  const nn::Running running(*this);
  return conv_(relu(norm_(x)));
}

void NormConv::visit(nn::Visitor& v) {
  v.child("norm", norm_);
  v.child("conv", conv_);
}

Var NormLinear::operator()(const Var& x) const {
  const nn::Running running(*this);
  return lin_(relu(norm_(x)));
}

void NormLinear::visit(nn::Visitor& v) {
  v.child("norm", norm_);
  v.child("lin", lin_);
}

}  // namespace tessera::fqdet
