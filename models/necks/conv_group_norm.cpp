#include "models/necks/conv_group_norm.h"

#include "nn/profile.h"

namespace tessera {

ConvGroupNorm::ConvGroupNorm(const std::string& conv_name, const std::string& norm_name, const nn::Conv2dConfig& config,
                             Random& random)
    : conv_name_(conv_name),
      norm_name_(norm_name),
      conv_(config, random),
      norm_(config.out < 32 ? 8 : 32, config.out) {}

Var ConvGroupNorm::operator()(const Var& x) const {
  const nn::Running running(*this);
  return norm_(conv_(x));
}

void ConvGroupNorm::visit(nn::Visitor& v) {
  v.child(conv_name_, conv_);
  v.child(norm_name_, norm_);
}

}  // namespace tessera
