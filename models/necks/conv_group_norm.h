// Convolution -> group normalisation (Wu and He 2018) of 32 groups, of a width below 32 of 8: the unit of the
// deformable encoders' necks.
#pragma once

#include <string>

#include "nn/layers.h"
#include "nn/norm.h"

namespace tessera {

// A child without a name: the two layers have the names that weights files give them among those of the owner.
class ConvGroupNorm : public nn::Module {
 public:
  ConvGroupNorm(const std::string& conv_name, const std::string& norm_name, const nn::Conv2dConfig& config,
                Random& random);
  Var operator()(const Var& x) const;
  void visit(nn::Visitor& v) override;

 private:
  std::string conv_name_, norm_name_;
  nn::Conv2d conv_;
  nn::GroupNorm norm_;
};

}  // namespace tessera
